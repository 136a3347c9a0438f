package origin

import (
	"encoding/json"
	"testing"
)

func TestReferencesAreWrittenAsPeopleDo(t *testing.T) {
	for want, r := range map[string]Ref{
		"":                          {},
		"Namespace foo":             {Kind: "Namespace", Name: "foo"},
		"AuthorizationPolicy foo/p": {Kind: "AuthorizationPolicy", Namespace: "foo", Name: "p"},
	} {
		if got := r.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if r.IsZero() != (want == "") {
			t.Errorf("%q: IsZero is %v", want, r.IsZero())
		}
	}
}

func TestFieldsAreAppendedAsTheAPIServerWritesThem(t *testing.T) {
	ref := Ref{Kind: "AuthorizationPolicy", Namespace: "foo", Name: "p"}
	for _, c := range []struct{ field, at, want string }{
		{"", "spec", "spec"},
		{"spec", "", "spec"},
		{"spec", "rules[0]", "spec.rules[0]"},
		{"spec.rules", "[1]", "spec.rules[1]"},
		{"", "", ""},
	} {
		o := Origin{Ref: ref, Field: c.field}
		got := o.At(c.at)
		if got.Field != c.want || got.Ref != ref || o.Field != c.field {
			t.Errorf("%q at %q is %q, want %q", c.field, c.at, got.Field, c.want)
		}
	}
}

func TestOriginsAreWrittenWithTheirField(t *testing.T) {
	ref := Ref{Kind: "AuthorizationPolicy", Namespace: "foo", Name: "p"}
	if got := (Origin{Ref: ref}).String(); got != "AuthorizationPolicy foo/p" {
		t.Errorf("got %q", got)
	}
	if got := (Origin{Ref: ref, Field: "spec"}).String(); got != "AuthorizationPolicy foo/p spec" {
		t.Errorf("got %q", got)
	}
	if !(Origin{}).IsZero() || (Origin{Ref: ref}).IsZero() {
		t.Error("IsZero is that of the reference")
	}
}

func TestOriginsAreFlatInJSON(t *testing.T) {
	text, err := json.Marshal(Origin{Ref: Ref{Kind: "K", Name: "n"}, Field: "f"})
	if err != nil || string(text) != `{"kind":"K","name":"n","field":"f"}` {
		t.Errorf("got %s, %v", text, err)
	}
}
