package mesh

import (
	"slices"
	"strings"
)

// Target is what a user asks about, as TYPE/NAME. Type is the canonical plural, such
// as deployments.
type Target struct{ Type, Name string }

// String renders the target as TYPE/NAME, with the type in the short form that kubectl prints.
func (t Target) String() string {
	if k := targetKindOf(t.Type); k != nil {
		return k.short + "/" + t.Name
	}
	return t.Type + "/" + t.Name
}

// Types of targets.
const (
	TypeDeployment   = "deployments"
	TypePod          = "pods"
	TypeStatefulSet  = "statefulsets"
	TypeDaemonSet    = "daemonsets"
	TypeReplicaSet   = "replicasets"
	TypeJob          = "jobs"
	TypeCronJob      = "cronjobs"
	TypeService      = "services"
	TypeGateway      = "gateways"      // the Gateway API's
	TypeIstioGateway = "istiogateways" // ASM's
)

// targetKind is a type of target: its names, and the kind that it stands for.
type targetKind struct {
	plural, singular, short string
	alias                   []string
	group, kind             string
}

// targetKinds are all types of targets. It is never written to.
var targetKinds = []targetKind{
	{TypeDeployment, "deployment", "deploy", nil, GroupApps, "Deployment"},
	{TypePod, "pod", "pod", []string{"po"}, GroupCore, "Pod"},
	{TypeStatefulSet, "statefulset", "sts", nil, GroupApps, "StatefulSet"},
	{TypeDaemonSet, "daemonset", "ds", nil, GroupApps, "DaemonSet"},
	{TypeReplicaSet, "replicaset", "rs", nil, GroupApps, "ReplicaSet"},
	{TypeJob, "job", "job", nil, GroupBatch, "Job"},
	{TypeCronJob, "cronjob", "cj", nil, GroupBatch, "CronJob"},
	{TypeService, "service", "svc", nil, GroupCore, "Service"},
	{TypeGateway, "gateway", "gateway", []string{"gtw"}, GroupGateway, "Gateway"},
	{TypeIstioGateway, "istiogateway", "istiogateway", nil, GroupASM, "IstioGateway"},
}

// GroupKind is the API group and the kind that the target's type stands for.
func (t Target) GroupKind() (group, kind string) {
	if k := targetKindOf(t.Type); k != nil {
		return k.group, k.kind
	}
	return "", ""
}

func targetKindOf(name string) *targetKind {
	name = strings.ToLower(name)
	for i := range targetKinds {
		k := &targetKinds[i]
		if name == k.plural || name == k.singular || name == k.short || slices.Contains(k.alias, name) {
			return k
		}
		// TYPE.GROUP and TYPE.VERSION.GROUP, as kubectl takes them.
		if k.group != GroupCore {
			typ, group, dotted := strings.Cut(name, ".")
			if dotted && (group == k.group || strings.HasSuffix(group, "."+k.group)) && (typ == k.plural || typ == k.singular || typ == k.short) {
				return k
			}
		}
	}
	return nil
}

// TargetTypes are the types of targets in the short form, for usage texts and completion.
func TargetTypes() []string {
	out := make([]string, len(targetKinds))
	for i, k := range targetKinds {
		out[i] = k.short
	}
	return out
}

// ParseTarget reads TYPE/NAME as kubectl spells it. Errors are *TargetError.
func ParseTarget(s string) (Target, error) {
	usage := "write TYPE/NAME, such as deploy/productpage; known types: " + strings.Join(TargetTypes(), ", ")
	typ, name, slash := strings.Cut(s, "/")
	switch {
	case strings.TrimSpace(s) == "":
		return Target{}, &TargetError{Given: s, Problem: "is empty", Hint: usage}
	case !slash:
		return Target{}, &TargetError{Given: s, Problem: "has no type", Hint: usage}
	case name == "":
		return Target{}, &TargetError{Given: s, Problem: "has no name", Hint: usage}
	case strings.Contains(name, "/"):
		return Target{}, &TargetError{Given: s, Problem: "has more than one slash", Hint: usage}
	}
	kind := targetKindOf(typ)
	if kind == nil {
		return Target{}, &TargetError{Given: s, Problem: "has an unknown type", Hint: usage}
	}
	return Target{Type: kind.plural, Name: name}, nil
}
