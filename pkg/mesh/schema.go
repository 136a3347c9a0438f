package mesh

import (
	"google.golang.org/protobuf/reflect/protoreflect"
	extensionsv1alpha1 "istio.io/api/extensions/v1alpha1"
	networkingv1alpha3 "istio.io/api/networking/v1alpha3"
	networkingv1beta1 "istio.io/api/networking/v1beta1"
	securityapi "istio.io/api/security/v1beta1"
	telemetryv1alpha1 "istio.io/api/telemetry/v1alpha1"
)

// specOf is the message that the spec of a kind of Istio's is, nil for other kinds. The
// newer versions of a group are aliases of these.
func specOf(group, kind string) protoreflect.MessageDescriptor {
	var m protoreflect.ProtoMessage
	switch (groupKind{group, kind}) {
	case groupKind{GroupSecurity, "AuthorizationPolicy"}:
		m = &securityapi.AuthorizationPolicy{}
	case groupKind{GroupSecurity, "RequestAuthentication"}:
		m = &securityapi.RequestAuthentication{}
	case groupKind{GroupSecurity, "PeerAuthentication"}:
		m = &securityapi.PeerAuthentication{}
	case groupKind{GroupNetworking, "Gateway"}:
		m = &networkingv1alpha3.Gateway{}
	case groupKind{GroupNetworking, "VirtualService"}:
		m = &networkingv1alpha3.VirtualService{}
	case groupKind{GroupNetworking, "ServiceEntry"}:
		m = &networkingv1alpha3.ServiceEntry{}
	case groupKind{GroupNetworking, "DestinationRule"}:
		m = &networkingv1alpha3.DestinationRule{}
	case groupKind{GroupNetworking, "Sidecar"}:
		m = &networkingv1alpha3.Sidecar{}
	case groupKind{GroupNetworking, "EnvoyFilter"}:
		m = &networkingv1alpha3.EnvoyFilter{}
	case groupKind{GroupNetworking, "WorkloadEntry"}:
		m = &networkingv1alpha3.WorkloadEntry{}
	case groupKind{GroupNetworking, "WorkloadGroup"}:
		m = &networkingv1alpha3.WorkloadGroup{}
	case groupKind{GroupNetworking, "ProxyConfig"}:
		m = &networkingv1beta1.ProxyConfig{}
	case groupKind{GroupExtensions, "WasmPlugin"}:
		m = &extensionsv1alpha1.WasmPlugin{}
	case groupKind{GroupTelemetry, "Telemetry"}:
		m = &telemetryv1alpha1.Telemetry{}
	default:
		return nil
	}
	return m.ProtoReflect().Descriptor()
}

// schema is what a value of the API looks like in JSON.
type schema struct {
	kind   valueKind        // empty: anything
	free   bool             // anything goes below, as in the patch of an EnvoyFilter
	elem   *schema          // of a list, or of a mapping with keys of its own
	fields map[string]field // of a message, by JSON and proto name; nil elsewhere
	names  []string         // the JSON names
	values []string         // of an enum
}

// field is a field of a message. Its two names share the index.
type field struct {
	index int
	of    *schema
}

// schemas makes each message's schema once. It belongs to one check.
type schemas struct {
	messages map[protoreflect.FullName]*schema
	objects  map[groupKind]*schema
}

func newSchemas() *schemas {
	return &schemas{messages: map[protoreflect.FullName]*schema{}, objects: map[groupKind]*schema{}}
}

// object is the schema of a whole object, nil where the kind is none of Istio's.
func (c *schemas) object(group, kind string) *schema {
	key := groupKind{group, kind}
	if s, found := c.objects[key]; found {
		return s
	}
	var s *schema
	if spec := specOf(group, kind); spec != nil {
		free := func() *schema { return &schema{kind: isMap, free: true} }
		text := func() *schema { return &schema{kind: isString} }
		s = newMessage()
		s.add("apiVersion", "", text())
		s.add("kind", "", text())
		s.add("metadata", "", metadataSchema(text, free))
		s.add("spec", "", c.message(spec))
		s.add("status", "", free())
	}
	c.objects[key] = s
	return s
}

// metadataSchema is ObjectMeta of Kubernetes, whose values the header check has read.
func metadataSchema(text, free func() *schema) *schema {
	s := newMessage()
	for _, name := range []string{
		"name", "generateName", "namespace", "selfLink", "uid", "resourceVersion", "clusterName",
		"creationTimestamp", "deletionTimestamp",
	} {
		s.add(name, "", text())
	}
	for _, name := range []string{"generation", "deletionGracePeriodSeconds"} {
		s.add(name, "", &schema{kind: isNumber})
	}
	for _, name := range []string{"labels", "annotations"} {
		s.add(name, "", &schema{kind: isMap, elem: text()})
	}
	for _, name := range []string{"ownerReferences", "managedFields"} {
		s.add(name, "", &schema{kind: isList, elem: free()})
	}
	s.add("finalizers", "", &schema{kind: isList, elem: text()})
	return s
}

func newMessage() *schema { return &schema{kind: isMap, fields: map[string]field{}} }

func (s *schema) add(name, alias string, of *schema) {
	f := field{len(s.names), of}
	s.fields[name] = f
	if alias != "" {
		s.fields[alias] = f
	}
	s.names = append(s.names, name)
}

func (c *schemas) message(d protoreflect.MessageDescriptor) *schema {
	if known := wellKnown(d.FullName()); known != nil {
		return known
	}
	if s, found := c.messages[d.FullName()]; found {
		return s
	}
	s := newMessage()
	c.messages[d.FullName()] = s
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		s.add(f.JSONName(), string(f.Name()), c.field(f))
	}
	// Newer than the API's release: istio/api#3737.
	if _, known := s.fields["presence"]; d.FullName() == "istio.security.v1beta1.JWTRule" && !known {
		s.add("presence", "", &schema{kind: isString})
	}
	return s
}

func (c *schemas) field(f protoreflect.FieldDescriptor) *schema {
	if f.IsMap() {
		return &schema{kind: isMap, elem: c.value(f.MapValue())}
	}
	if f.IsList() {
		return &schema{kind: isList, elem: c.value(f)}
	}
	return c.value(f)
}

func (c *schemas) value(f protoreflect.FieldDescriptor) *schema {
	switch f.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return c.message(f.Message())
	case protoreflect.EnumKind:
		s := &schema{kind: isString}
		for i := range f.Enum().Values().Len() {
			s.values = append(s.values, string(f.Enum().Values().Get(i).Name()))
		}
		return s
	case protoreflect.BoolKind:
		return &schema{kind: isBool}
	case protoreflect.StringKind, protoreflect.BytesKind:
		return &schema{kind: isString}
	}
	return &schema{kind: isNumber}
}

// wellKnown is the JSON form of protobuf's own messages.
func wellKnown(name protoreflect.FullName) *schema {
	switch name {
	case "google.protobuf.Struct", "google.protobuf.Value", "google.protobuf.Any", "google.protobuf.ListValue":
		return &schema{free: true}
	case "google.protobuf.Duration", "google.protobuf.Timestamp", "google.protobuf.StringValue",
		"google.protobuf.BytesValue", "google.protobuf.FieldMask":
		return &schema{kind: isString}
	case "google.protobuf.BoolValue":
		return &schema{kind: isBool}
	case "google.protobuf.DoubleValue", "google.protobuf.FloatValue", "google.protobuf.Int64Value",
		"google.protobuf.UInt64Value", "google.protobuf.Int32Value", "google.protobuf.UInt32Value":
		return &schema{kind: isNumber}
	}
	return nil
}
