package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

const (
	pageSize     = "200"
	metadataOnly = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
)

type metadata struct {
	Name            string `json:"name"`
	UID             string `json:"uid"`
	ResourceVersion string `json:"resourceVersion"`
}

type userSchedule struct {
	Metadata metadata `json:"metadata"`
	Spec     struct {
		TimeZone string `json:"timeZone"`
	} `json:"spec"`
}

type page struct {
	Metadata struct {
		ResourceVersion string `json:"resourceVersion"`
		Continue        string `json:"continue"`
	} `json:"metadata"`
	Items []userSchedule `json:"items"`
}

type raw struct {
	client    rest.Interface
	schedules string
	cronJobs  string
	samples   map[string]*sample
}

// sendRaw sends the writes for the UserSchedules that are there, and for those that come, until `count` are served.
func sendRaw(ctx context.Context, config *rest.Config, namespace string, samples map[string]*sample, count int) error {
	config.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	client, err := rest.UnversionedRESTClientFor(config)
	if err != nil {
		return err
	}
	r := &raw{
		client:    client,
		schedules: fmt.Sprintf("/apis/%s/%s/namespaces/%s/userschedules", group, version, namespace),
		cronJobs:  fmt.Sprintf("/apis/batch/v1/namespaces/%s/cronjobs", namespace),
		samples:   samples,
	}
	bodies, failed := make(chan userSchedule), make(chan error, concurrency)
	var workers sync.WaitGroup
	for range concurrency {
		workers.Go(func() {
			for body := range bodies {
				if err := r.serve(ctx, body); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	err = r.read(ctx, count, func(body userSchedule) error {
		select {
		case bodies <- body:
			return nil
		case err := <-failed:
			return err
		}
	})
	close(bodies)
	workers.Wait()
	select {
	case failure := <-failed:
		return errors.Join(err, failure)
	default:
		return err
	}
}

// read calls serve for `count` UserSchedules: those that are listed, then those that a watch adds.
func (r *raw) read(ctx context.Context, count int, serve func(userSchedule) error) error {
	seen, listed := 0, page{}
	for first := true; first || listed.Metadata.Continue != ""; first = false {
		request := r.client.Get().AbsPath(r.schedules).Param("limit", pageSize)
		if next := listed.Metadata.Continue; next != "" {
			request.Param("continue", next)
		}
		text, err := request.Do(ctx).Raw()
		if err != nil {
			return err
		}
		listed = page{}
		if err := json.Unmarshal(text, &listed); err != nil {
			return err
		}
		for _, body := range listed.Items {
			seen++
			if err := serve(body); err != nil {
				return err
			}
		}
	}
	if seen >= count {
		return nil
	}
	stream, err := r.client.Get().AbsPath(r.schedules).Param("watch", "true").
		Param("resourceVersion", listed.Metadata.ResourceVersion).Stream(ctx)
	if err != nil {
		return err
	}
	defer stream.Close()
	for decoder := json.NewDecoder(stream); seen < count; {
		event := struct {
			Type   string       `json:"type"`
			Object userSchedule `json:"object"`
		}{}
		if err := decoder.Decode(&event); err != nil {
			return err
		}
		if event.Type != "ADDED" {
			continue
		}
		seen++
		if err := serve(event.Object); err != nil {
			return err
		}
	}
	return nil
}

func (r *raw) serve(ctx context.Context, body userSchedule) error {
	found, ok := r.samples[body.Spec.TimeZone]
	if !ok {
		return fmt.Errorf("no sample for %s", body.Spec.TimeZone)
	}
	filled := found.of(body.Metadata.Name, body.Metadata.UID)
	for i, name := range filled.names {
		reply, err := r.client.Patch(types.ApplyPatchType).AbsPath(r.cronJobs, name).
			Param("fieldManager", fieldManager).Param("force", strconv.FormatBool(false)).
			SetHeader("Accept", metadataOnly).Body([]byte(filled.manifests[i])).Do(ctx).Raw()
		if err != nil {
			return err
		}
		made := struct {
			Metadata metadata `json:"metadata"`
		}{}
		if err := json.Unmarshal(reply, &made); err != nil {
			return err
		}
		filled.applied(name, made.Metadata.UID)
	}
	patch := fmt.Appendf(nil, `{"metadata":{"resourceVersion":%q},"status":%s}`, body.Metadata.ResourceVersion, filled.status)
	return r.client.Patch(types.MergePatchType).AbsPath(r.schedules, body.Metadata.Name, "status").
		Param("fieldManager", fieldManager).Body(patch).Do(ctx).Error()
}
