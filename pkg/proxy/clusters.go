package proxy

import (
	"encoding/json"
	"io"
	"strconv"
)

// Traffic is what a proxy has seen of one of its clusters, since it has it.
type Traffic struct {
	// Hosts are the endpoints.
	Hosts int
	// Answers are requests that were answered with less than 500, Failures those that
	// were not, and connections that did not come about.
	Answers, Failures uint64
}

// ReadClusters reads the admin page clusters?format=json (Envoy
// api/envoy/admin/v3/clusters.proto), as far as the named clusters go. A cluster that is
// not there is left out. Errors are for what is no such page.
func ReadClusters(in io.Reader, names []string) (map[string]Traffic, error) {
	wanted := map[string]bool{}
	for _, n := range names {
		wanted[n] = true
	}
	out := map[string]Traffic{}
	dec := json.NewDecoder(in)
	err := members(dec, func(name string) error {
		if name != "cluster_statuses" {
			return skip(dec)
		}
		return elements(dec, func() error {
			return each(dec, func(o object) error {
				if wanted[o.text("name")] {
					out[o.text("name")] = traffic(o)
				}
				return nil
			})
		})
	})
	return out, err
}

func traffic(o object) Traffic {
	var t Traffic
	for _, h := range o.objects("host_statuses") {
		t.Hosts++
		for _, s := range h.objects("stats") {
			// A counter of 0 has no value, and 64 bits are written as text.
			n, err := strconv.ParseUint(s.text("value"), 10, 64)
			if err != nil {
				continue
			}
			switch s.text("name") {
			case "rq_success":
				t.Answers += n
			case "rq_error", "cx_connect_fail":
				t.Failures += n
			}
		}
	}
	return t
}
