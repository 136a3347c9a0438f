package render

import (
	"fmt"
	"slices"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/keycheck"
)

// keyColumn is a column of the table.
type keyColumn struct {
	name       string
	most, rank int
}

// The columns of the table with the most that each may be wide, so that all of them fit
// into 80; in a narrower window those of a higher rank are left out first.
var keyColumns = []keyColumn{{"RULE", 24, 0}, {"FETCHED BY", 13, 4}, {"AT THE URI", 14, 3}, {"IN PROXIES", 13, 2}, {"VERDICT", 8, 1}}

// keyTable has a line for each rule.
func (p *page) keyTable(r *keycheck.Report) {
	if len(r.Rules) == 0 {
		return
	}
	rows := [][]string{{}}
	for _, c := range keyColumns {
		rows[0] = append(rows[0], c.name)
	}
	for i := range r.Rules {
		rule := &r.Rules[i]
		rows = append(rows, []string{shortRule(rule), string(rule.Fetcher), atURI(rule), inProxies(rule, r.Live), string(rule.Verdict)})
	}
	widths := make([]int, len(keyColumns))
	for _, row := range rows {
		for i := range row {
			if row[i] = clean(row[i]); !p.style.Wide {
				row[i] = middle(row[i], keyColumns[i].most)
			}
			widths[i] = max(widths[i], runeLen(row[i]))
		}
	}
	shown := p.columnsThatFit(widths)
	p.line("")
	for n, row := range rows {
		var out strings.Builder
		for i, cell := range row {
			if !shown[i] {
				continue
			}
			cell = middle(cell, widths[i])
			pad := strings.Repeat(" ", widths[i]-runeLen(cell))
			switch {
			case n == 0:
				cell = p.style.strong.Sprint(cell)
			case i == len(row)-1:
				cell = p.verdictColour(keycheck.Verdict(cell))
			}
			out.WriteString(cell + pad)
			if i < len(row)-1 {
				out.WriteString("  ")
			}
		}
		p.line(out.String())
	}
}

// columnsThatFit leaves columns out until the others fit on a line; the first one is cut
// if that is not enough.
func (p *page) columnsThatFit(widths []int) []bool {
	const between = 2
	shown := make([]bool, len(widths))
	total := -between
	for i, w := range widths {
		shown[i], total = true, total+w+between
	}
	for rank := len(widths) - 1; rank > 1 && total > p.columns() && !p.style.Wide; rank-- {
		i := slices.IndexFunc(keyColumns, func(c keyColumn) bool { return c.rank == rank })
		shown[i], total = false, total-widths[i]-between
	}
	if total > p.columns() && !p.style.Wide {
		widths[0] = max(1, widths[0]-(total-p.columns()))
	}
	return shown
}

func (p *page) verdictColour(v keycheck.Verdict) string {
	switch v {
	case keycheck.OK:
		return p.style.good.Sprint(v)
	case keycheck.Refused:
		return p.style.bad.Sprint(v)
	case keycheck.Unknown:
		return p.style.doubt.Sprint(v)
	}
	return string(v)
}

// shortRule names a rule: foo/jwt-example [0].
func shortRule(rule *keycheck.Rule) string {
	return rule.Object.Namespace + "/" + rule.Object.Name + " " + strings.TrimPrefix(rule.Object.Field, "spec.jwtRules")
}

// atURI is what was seen at the address, in a word or two: the best view of it.
func atURI(rule *keycheck.Rule) string {
	if rule.Fetcher == keycheck.ByNobody {
		return "-"
	}
	best := -1
	for i, f := range rule.Fetches {
		if best < 0 || f.Keys != nil && rule.Fetches[best].Keys == nil || f.Sidecar && rule.Fetcher == keycheck.ByProxy {
			best = i
		}
	}
	if best < 0 {
		if rule.Keys != nil {
			return keysWord(rule.Keys)
		}
		return "not seen"
	}
	f := rule.Fetches[best]
	switch {
	case f.Keys != nil:
		return keysWord(f.Keys)
	case f.Kind == keycheck.Fetched:
		return "discovery"
	case f.Status != 0:
		return fmt.Sprintf("answers %d", f.Status)
	}
	return map[keycheck.Kind]string{
		keycheck.Name: "no such host", keycheck.Connect: "no connection", keycheck.Timeout: "no answer", keycheck.Certificate: "certificate",
		keycheck.TooLarge: "too large", keycheck.Unable: "not seen", keycheck.BadURL: "no address",
	}[f.Kind]
}

func keysWord(k *keycheck.Keys) string {
	switch {
	case k.Problem != "":
		return "unusable"
	case len(k.Dropped) > 0:
		return fmt.Sprintf("%d of %d keys", k.Usable, k.Usable+len(k.Dropped))
	}
	return countOf(k.Usable, "key", "keys")
}

// states in the order of how much they matter.
var states = []keycheck.State{
	keycheck.Broken, keycheck.Forgeable, keycheck.Placeholder, keycheck.NoCluster, keycheck.Old, keycheck.Absent,
	keycheck.NotAsked, keycheck.Fetches, keycheck.Holds, keycheck.Same,
}

// inProxies is what the proxies hold, the worst of it.
func inProxies(rule *keycheck.Rule, live bool) string {
	if len(rule.Proxies) == 0 {
		if len(rule.Workloads) == 0 || !live {
			return "-"
		}
		return "not asked"
	}
	at := len(states) - 1
	var worst keycheck.Holder
	for _, h := range rule.Proxies {
		if i := slices.Index(states, h.State); i <= at {
			at, worst = i, h
		}
	}
	n := 0
	for _, h := range rule.Proxies {
		if h.State == worst.State {
			n++
		}
	}
	word := string(worst.State)
	switch worst.State {
	case keycheck.Holds, keycheck.Same:
		word = keysWord(worst.Keys)
	case keycheck.Old:
		word = "old keys"
	case keycheck.Absent:
		word = "no such rule"
	}
	if n < len(rule.Proxies) {
		word += fmt.Sprintf(" %d/%d", n, len(rule.Proxies))
	}
	return word
}
