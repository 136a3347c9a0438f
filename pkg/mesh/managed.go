package mesh

import (
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// vendorGroups is how the API groups of Alibaba Cloud end.
const vendorGroups = "alibabacloud.com"

// Manager is who keeps an object: edits of the object itself may be reverted.
type Manager struct {
	Kind, Name string // of the owner, as in ASMSecurityPolicy; empty where only a label tells
	Label      string // KEY=VALUE
}

// String names the manager for a sentence.
func (m Manager) String() string {
	if m.Kind != "" {
		return m.Kind + " " + m.Name
	}
	return "ASM (label " + m.Label + ")"
}

// ManagedBy tells whether an object of the mesh is made by ASM from another one, such as an
// ASMSecurityPolicy: by an owner reference, or a label, under a group of alibabacloud.com.
// Neither the version of those groups nor their fields are documented, so nothing else is
// looked at.
func ManagedBy(o *Object) (Manager, bool) {
	var d struct {
		Metadata struct {
			OwnerReferences []metav1.OwnerReference `json:"ownerReferences"`
		} `json:"metadata"`
	}
	if o.Decode(&d) != nil {
		return Manager{}, false
	}
	for _, ref := range d.Metadata.OwnerReferences {
		group, _, _ := strings.Cut(ref.APIVersion, "/")
		if isVendorGroup(group) {
			return Manager{Kind: ref.Kind, Name: ref.Name}, true
		}
	}
	keys := make([]string, 0, len(o.Labels))
	for key := range o.Labels {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		if group, _, found := strings.Cut(key, "/"); found && isVendorGroup(group) {
			return Manager{Label: key + "=" + o.Labels[key]}, true
		}
	}
	return Manager{}, false
}

func isVendorGroup(group string) bool {
	return group == vendorGroups || strings.HasSuffix(group, "."+vendorGroups)
}
