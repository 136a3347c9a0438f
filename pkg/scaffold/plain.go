package scaffold

import "encoding/json"

// plain is the spec as plain values, numbers as float64, as mesh.Object.RawSpec gives it.
func (o *Object) plain() (map[string]any, error) {
	data, err := plainJSON(o.Spec)
	if err != nil {
		return nil, err
	}
	var out map[string]any
	return out, json.Unmarshal(data, &out)
}
