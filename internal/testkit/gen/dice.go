package gen

import "math/rand/v2"

// dice is chance, and the tally of what it made.
type dice struct {
	*rand.Rand
	tags map[string]int
}

// tag counts a feature.
func (d *dice) tag(name string) { d.tags[name]++ }

// percent is true p times in a hundred.
func (d *dice) percent(p int) bool { return d.IntN(100) < p }

// oneIn is true once in n times.
func (d *dice) oneIn(n int) bool { return d.IntN(n) == 0 }

// pick is one of the choices.
func pick[T any](d *dice, choices ...T) T { return choices[d.IntN(len(choices))] }

// weighted is a choice with its weight.
type weighted[T any] struct {
	weight int
	value  T
}

// pickWeighted is one of the choices by weight.
func pickWeighted[T any](d *dice, choices []weighted[T]) T {
	total := 0
	for _, c := range choices {
		total += c.weight
	}
	n := d.IntN(total)
	for _, c := range choices {
		if n -= c.weight; n < 0 {
			return c.value
		}
	}
	return choices[len(choices)-1].value
}

// times makes n values.
func times[T any](n int, make func() T) []T {
	out := []T{}
	for range n {
		out = append(out, make())
	}
	return out
}
