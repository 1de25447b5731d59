package main

import (
	"context"
	"fmt"

	"github.com/go-logr/logr"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	logs "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/manager/signals"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

func kind(version, kind string) *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: version, Kind: kind}}
}

// control runs a controller as controller-runtime makes them: caches of UserSchedules, CronJobs and Jobs, and a queue of
// keys. A lean one keeps only the metadata of CronJobs and Jobs, and no managed fields.
func control(config *rest.Config, namespace string, samples map[string]*sample, lean bool) error {
	logs.SetLogger(logr.Discard())
	caches := cache.Options{DefaultNamespaces: map[string]cache.Config{namespace: {}}}
	cronJobs, jobs := client.Object(&batchv1.CronJob{}), client.Object(&batchv1.Job{})
	if lean {
		caches.DefaultTransform = cache.TransformStripManagedFields()
		cronJobs, jobs = kind("batch/v1", "CronJob"), kind("batch/v1", "Job")
	}
	m, err := manager.New(config, manager.Options{
		Scheme:  newScheme(),
		Metrics: server.Options{BindAddress: "0"},
		Cache:   caches,
	})
	if err != nil {
		return err
	}
	err = builder.ControllerManagedBy(m).
		For(&UserSchedule{}).
		Owns(cronJobs).
		Owns(jobs).
		WithOptions(controller.Options{MaxConcurrentReconciles: concurrency}).
		Complete(&reconciler{m.GetClient(), samples})
	if err != nil {
		return err
	}
	return m.Start(signals.SetupSignalHandler())
}

type reconciler struct {
	client  client.Client
	samples map[string]*sample
}

func (r *reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	body := &UserSchedule{}
	if err := r.client.Get(ctx, request.NamespacedName, body); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if body.Status.ObservedGeneration == body.Generation {
		return reconcile.Result{}, nil
	}
	found, ok := r.samples[body.Spec.TimeZone]
	if !ok {
		return reconcile.Result{}, fmt.Errorf("no sample for %s", body.Spec.TimeZone)
	}
	filled := found.of(body.Name, string(body.UID))
	for i, name := range filled.names {
		made := kind("batch/v1", "CronJob")
		made.Namespace, made.Name = request.Namespace, name
		apply := client.RawPatch(types.ApplyPatchType, []byte(filled.manifests[i]))
		if err := r.client.Patch(ctx, made, apply, client.FieldOwner(fieldManager)); err != nil {
			return reconcile.Result{}, err
		}
		filled.applied(name, string(made.UID))
	}
	patch := fmt.Appendf(nil, `{"metadata":{"resourceVersion":%q},"status":%s}`, body.ResourceVersion, filled.status)
	written := &UserSchedule{ObjectMeta: metav1.ObjectMeta{Namespace: request.Namespace, Name: request.Name}}
	merge := client.RawPatch(types.MergePatchType, patch)
	return reconcile.Result{}, r.client.Status().Patch(ctx, written, merge, client.FieldOwner(fieldManager))
}
