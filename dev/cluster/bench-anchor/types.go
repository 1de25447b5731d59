package main

import (
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// UserSchedule has the fields of `crds/userschedules.yaml` that are set here.
type UserSchedule struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`

	Spec   Spec   `json:"spec"`
	Status Status `json:"status"`
}

type Spec struct {
	UserID       string `json:"userId"`
	TimeZone     string `json:"timeZone"`
	CalendarSync *struct {
		Enabled bool   `json:"enabled"`
		Every   string `json:"every"`
	} `json:"calendarSync"`
	Digest *struct {
		Enabled bool   `json:"enabled"`
		Day     string `json:"day"`
		Time    string `json:"time"`
	} `json:"digest"`
}

type Status struct {
	ObservedGeneration int64              `json:"observedGeneration"`
	TemplateHash       string             `json:"templateHash"`
	ServedBy           string             `json:"servedBy"`
	Conditions         []metav1.Condition `json:"conditions"`
	Sync               *Section           `json:"sync"`
	Digest             *Section           `json:"digest"`
}

type Section struct {
	Display           string   `json:"display"`
	CronJobName       string   `json:"cronJobName"`
	CronJobUID        string   `json:"cronJobUID"`
	CronJobGeneration int64    `json:"cronJobGeneration"`
	Schedule          string   `json:"schedule"`
	TimeZone          string   `json:"timeZone"`
	Fingerprint       string   `json:"fingerprint"`
	ActiveSince       string   `json:"activeSince"`
	NextRuns          []string `json:"nextRuns"`
	NextRunTimes      []string `json:"nextRunTimes"`
}

type UserScheduleList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`
	Items           []UserSchedule `json:"items"`
}

// DeepCopyObject shares spec and status, which nobody here changes.
func (u *UserSchedule) DeepCopyObject() runtime.Object {
	copied := *u
	u.ObjectMeta.DeepCopyInto(&copied.ObjectMeta)
	return &copied
}

func (l *UserScheduleList) DeepCopyObject() runtime.Object {
	copied := *l
	copied.Items = append([]UserSchedule(nil), l.Items...)
	return &copied
}

func newScheme() *runtime.Scheme {
	scheme, version := runtime.NewScheme(), schema.GroupVersion{Group: group, Version: version}
	scheme.AddKnownTypes(version, &UserSchedule{}, &UserScheduleList{})
	metav1.AddToGroupVersion(scheme, version)
	if err := batchv1.AddToScheme(scheme); err != nil {
		panic(err) // the types of client-go
	}
	return scheme
}
