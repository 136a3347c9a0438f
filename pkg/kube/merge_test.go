package kube

import (
	"testing"

	"k8s.io/apimachinery/pkg/labels"
)

func TestListsOfPodsBecomeOneWhereThatGivesFewOthers(t *testing.T) {
	for _, tt := range []struct{ name, a, b, want string }{
		{"two apps", "app=x", "app=y", "app in (x,y)"},
		{"two apps of one shop", "app=x,shop=s", "shop=s,app=y", "app in (x,y),shop in (s)"},
		{"all, and some of them", "", "app=y", ""},
		{"the same", "app=x", "app=x", "app=x"},
		{"values in a list", "app in (x,z)", "app=y", "app in (x,y,z)"},
		{"other labels", "app=x", "name=y", "-"},
		{"more labels", "app=x", "app=y,name=y", "-"},
		{"what is not listed", "app!=x", "app=y", "-"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := mergePods([]query{pods("foo", tt.a), pods("bar", tt.a), pods("foo", tt.b)})
			if tt.want == "-" {
				if len(got) != 3 {
					t.Fatalf("got %v", got)
				}
				return
			}
			if len(got) != 2 || got[0].labels != tt.want || got[1].namespace != "bar" {
				t.Fatalf("got %v, want %s", got, tt.want)
			}
			if _, err := labels.Parse(got[0].labels); err != nil {
				t.Error(err)
			}
		})
	}
	lists := []query{pods("foo", "app=x"), {kind: "Pod", namespace: "foo", name: "p"}, {kind: "Service", namespace: "foo"}}
	if got := mergePods(lists); len(got) != 3 {
		t.Errorf("got %v", got)
	}
}
