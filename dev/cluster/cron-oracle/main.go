// The CronJob controller's own cron library, asked what it does: the truth for the tests of the operator's schedules.
//
// Reads requests as JSON lines and answers each with a JSON line, in the same order. Zones come from the database that
// the variable ZONEINFO names: the product's, or those of another year, which a cluster's controller may have.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/robfig/cron/v3"
)

type request struct {
	Zone string `json:"timeZone"`
	// Transitions: the zone's changes of offset from From to To.
	From int64 `json:"from"`
	To   int64 `json:"to"`
	// A cron expression: its firings after From and not after To, or which of Due it misses.
	Schedule string  `json:"schedule"`
	Due      []int64 `json:"due"`
	// How long before a due time the controller may begin to ask, in seconds.
	Lead []int64 `json:"lead"`
}

type transition struct {
	At     int64 `json:"at"`
	Before int   `json:"before"`
	After  int   `json:"after"`
}

type reply struct {
	Transitions []transition `json:"transitions,omitempty"`
	Fires       []int64      `json:"fires,omitempty"`
	Missed      []int64      `json:"missed,omitempty"`
	Error       string       `json:"error,omitempty"`
}

func main() {
	if os.Getenv("ZONEINFO") == "" {
		fmt.Fprintln(os.Stderr, "cron-oracle: ZONEINFO must name the zone database")
		os.Exit(2)
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 64<<20)
	var requests [][]byte
	for lines.Scan() {
		requests = append(requests, append([]byte(nil), lines.Bytes()...))
	}
	replies := make([][]byte, len(requests))
	var workers sync.WaitGroup
	for worker := range runtime.NumCPU() {
		workers.Go(func() {
			for i := worker; i < len(requests); i += runtime.NumCPU() {
				replies[i] = answer(requests[i])
			}
		})
	}
	workers.Wait()
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for _, line := range replies {
		out.Write(append(line, '\n'))
	}
}

func answer(line []byte) []byte {
	var asked request
	var found reply
	err := json.Unmarshal(line, &asked)
	if err == nil {
		found, err = ask(asked)
	}
	if err != nil {
		found = reply{Error: err.Error()}
	}
	text, _ := json.Marshal(found)
	return text
}

func ask(asked request) (reply, error) {
	if asked.Schedule == "" {
		found, err := transitions(asked)
		return reply{Transitions: found}, err
	}
	// As the controller does it: pkg/controller/cronjob, formatSchedule.
	schedule, err := cron.ParseStandard("TZ=" + asked.Zone + " " + asked.Schedule)
	if err != nil {
		return reply{}, err
	}
	if len(asked.Due) > 0 {
		return reply{Missed: missed(schedule, asked.Due, asked.Lead)}, nil
	}
	var fires []int64
	for t := schedule.Next(time.Unix(asked.From, 0)); !t.IsZero() && t.Unix() <= asked.To; t = schedule.Next(t) {
		fires = append(fires, t.Unix())
	}
	return reply{Fires: fires}, nil
}

// The due times at which the schedule does not fire, when the controller walks from firing to firing, from whatever
// time it begins at.
func missed(schedule cron.Schedule, due, lead []int64) []int64 {
	var found []int64
	for _, at := range due {
		for _, before := range lead {
			t := schedule.Next(time.Unix(at-before, 0))
			for !t.IsZero() && t.Unix() < at {
				next := schedule.Next(t)
				if !next.After(t) { // the controller would loop here without end
					break
				}
				t = next
			}
			if t.Unix() != at {
				found = append(found, at)
				break
			}
		}
	}
	return found
}

func transitions(asked request) ([]transition, error) {
	zone, err := time.LoadLocation(asked.Zone)
	if err != nil {
		return nil, err
	}
	var found []transition
	t := time.Unix(asked.From, 0).In(zone)
	for {
		_, end := t.ZoneBounds()
		if end.IsZero() || end.Unix() > asked.To {
			return found, nil
		}
		_, before := t.Zone()
		// In leap years Go gives 31 December as the end of what goes on (time.tzset): step over it.
		if !end.After(t) {
			end = t.Add(24 * time.Hour)
		}
		t = end.In(zone)
		// A name or the flag may change without the offset.
		if _, after := t.Zone(); after != before {
			found = append(found, transition{end.Unix(), before, after})
		}
	}
}
