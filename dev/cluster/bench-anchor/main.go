// What the operator is measured against: the same writes from Go, as a raw client and as a controller.
//
// The writes are samples that the benchmark makes with the operator's own code, one for each time zone. A client puts
// the name and the uids of each UserSchedule into them.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"log"
	"os"

	"k8s.io/client-go/tools/clientcmd"
)

const (
	group        = "catchup.dev"
	version      = "v1alpha1"
	fieldManager = "catchup-operator"
	// As many as the operator has connections.
	concurrency = 20
)

// sample is what the operator writes for the UserSchedule `Name` with the uid `UID`. In `Status`, `uid-of:NAME` stands
// for the uid of a CronJob.
type sample struct {
	Name     string    `json:"name"`
	UID      string    `json:"uid"`
	CronJobs []cronJob `json:"cronJobs"`
	Status   string    `json:"status"`
}

type cronJob struct {
	Name     string `json:"name"`
	Manifest string `json:"manifest"`
}

// writes are a sample's for one UserSchedule.
type writes struct {
	names, manifests []string
	status           []byte
}

func (s *sample) of(name, uid string) writes {
	fill := func(text string) []byte {
		return bytes.ReplaceAll(bytes.ReplaceAll([]byte(text), []byte(s.Name), []byte(name)), []byte(s.UID), []byte(uid))
	}
	filled := writes{status: fill(s.Status)}
	for _, each := range s.CronJobs {
		filled.names = append(filled.names, string(fill(each.Name)))
		filled.manifests = append(filled.manifests, string(fill(each.Manifest)))
	}
	return filled
}

func (w *writes) applied(name, uid string) {
	w.status = bytes.ReplaceAll(w.status, []byte("uid-of:"+name), []byte(uid))
}

func main() {
	mode := flag.String("mode", "raw", "raw, controller or controller-lean")
	namespace := flag.String("namespace", "", "the namespace of the UserSchedules")
	path := flag.String("samples", "", "a file: samples by time zone, as JSON")
	count := flag.Int("count", 0, "raw: how many UserSchedules there will be")
	flag.Parse()
	if err := run(*mode, *namespace, *path, *count); err != nil {
		log.Fatal(err)
	}
}

func run(mode, namespace, path string, count int) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	samples := map[string]*sample{}
	if err := json.Unmarshal(text, &samples); err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return err
	}
	config.QPS = -1 // no limit
	config.UserAgent = fieldManager
	if mode == "raw" {
		return sendRaw(context.Background(), config, namespace, samples, count)
	}
	return control(config, namespace, samples, mode == "controller-lean")
}
