package proxy

import (
	"strings"
	"testing"
)

// As an Envoy of 1.40 writes it, with counters of 0 left out and 64 bits as text.
const clustersPage = `{"cluster_statuses":[
 {"name":"outbound|80||other.foo.svc.cluster.local","host_statuses":[{"stats":[{"name":"rq_success","value":"9"}]}]},
 {"name":"outbound|80||idp.foo.svc.cluster.local","added_via_api":true,"host_statuses":[
  {"address":{"socket_address":{"address":"10.0.0.1","port_value":80}},"stats":[{"name":"cx_connect_fail","value":"2"},{"name":"cx_total","value":"5"},{"name":"rq_error","value":"1"},{"name":"rq_success"},{"type":"GAUGE","name":"rq_active"}],"health_status":{"eds_health_status":"HEALTHY"}},
  {"address":{"socket_address":{"address":"10.0.0.2","port_value":80}},"stats":[{"name":"rq_success","value":"4"}]}]},
 {"name":"outbound|80||empty.foo.svc.cluster.local"}
]}`

func TestTheTrafficOfTheNamedClustersIsCounted(t *testing.T) {
	names := []string{"outbound|80||idp.foo.svc.cluster.local", "outbound|80||empty.foo.svc.cluster.local", "outbound|80||absent.foo.svc.cluster.local"}
	got, err := ReadClusters(strings.NewReader(clustersPage), names)
	if err != nil {
		t.Fatal(err)
	}
	if want := (Traffic{Hosts: 2, Answers: 4, Failures: 3}); got[names[0]] != want {
		t.Errorf("got %+v, want %+v", got[names[0]], want)
	}
	if empty, there := got[names[1]]; !there || empty != (Traffic{}) {
		t.Errorf("without endpoints: %+v, %v", empty, there)
	}
	if len(got) != 2 {
		t.Errorf("got %+v", got)
	}
	for _, bad := range []string{"", "<html>", `{"cluster_statuses":[`, `{"cluster_statuses":1}`} {
		if _, err := ReadClusters(strings.NewReader(bad), names); err == nil {
			t.Errorf("%q is no such page", bad)
		}
	}
}

func TestWhereKeysAreFetchedIsFoundByTheirURI(t *testing.T) {
	d := &Dump{Clusters: map[string]Cluster{"c": {Name: "c", TLS: true, SNI: "idp"}}, remote: []remoteKeys{{"http://a/", "c"}, {"http://b/", "gone"}}}
	if c, ok := d.KeyCluster("http://a/"); !ok || !c.TLS || c.SNI != "idp" {
		t.Errorf("got %+v, %v", c, ok)
	}
	for _, uri := range []string{"http://b/", "http://other/"} {
		if c, ok := d.KeyCluster(uri); ok {
			t.Errorf("%s: got %+v", uri, c)
		}
	}
}
