package gen

import (
	"net/netip"
	"strings"
)

// loopback is where clients can be.
var loopback = netip.MustParsePrefix("127.0.0.0/8")

// edges are addresses inside the block at its edges, and just outside. A block that
// is none has neither.
func edges(block string) (inside, outside []netip.Addr) {
	if !strings.Contains(block, "/") {
		block += "/32"
		if strings.Contains(block, ":") {
			block = strings.TrimSuffix(block, "/32") + "/128"
		}
	}
	prefix, err := netip.ParsePrefix(block)
	if err != nil {
		return nil, nil
	}
	prefix = prefix.Masked()
	first, last := prefix.Addr(), prefix.Addr()
	bytes := last.AsSlice()
	for bit := prefix.Bits(); bit < last.BitLen(); bit++ {
		bytes[bit/8] |= 0x80 >> (bit % 8)
	}
	last, _ = netip.AddrFromSlice(bytes)
	inside = []netip.Addr{first, first.Next(), last, last.Prev()}
	outside = []netip.Addr{first.Prev(), last.Next()}
	if prefix.Bits() > 1 {
		bytes[0] ^= 0x40
		far, _ := netip.AddrFromSlice(bytes)
		outside = append(outside, far)
	}
	return keep(inside, prefix.Contains), keep(outside, netip.Addr.IsValid)
}

func keep(addrs []netip.Addr, ok func(netip.Addr) bool) []netip.Addr {
	var out []netip.Addr
	for _, a := range addrs {
		if a.IsValid() && ok(a) {
			out = append(out, a)
		}
	}
	return out
}

// bindable says that a client on this machine can have the address.
func bindable(a netip.Addr) bool {
	host := a.As4()
	return loopback.Contains(a) && host != [4]byte{127} && host != [4]byte{127, 255, 255, 255}
}

// sourceIP is an address of the client inside or outside the block.
func (r *draft) sourceIP(block string, inside bool) {
	in, out := edges(block)
	choices := out
	if inside {
		choices = in
	}
	if choices = keep(choices, func(a netip.Addr) bool { return a.Is4() && bindable(a) }); len(choices) > 0 && r.percent(75) {
		r.source = pick(r.dice, choices...).String()
		return
	}
	r.source = pick(r.dice, sourceAddrs...)
}

// remoteIP is a forwarded address inside or outside the block, in the place where
// the proxy looks or beside it.
func (r *draft) remoteIP(block string, inside bool) {
	in, out := edges(block)
	choices := out
	if inside {
		choices = in
	}
	place := 1
	if r.p.gateway {
		place = r.p.hops
	}
	if place == 0 || r.oneIn(8) {
		r.sourceIP(block, inside)
		if place == 0 && r.percent(60) {
			return
		}
	}
	addr := pick(r.dice, remoteAddrs...)
	if len(choices) > 0 {
		addr = pick(r.dice, choices...).String()
	}
	if r.oneIn(4) {
		place = max(1, place+pick(r.dice, -1, 1))
	}
	r.xff = times(r.IntN(3), func() string { return pick(r.dice, remoteAddrs...) })
	r.xff = append(r.xff, r.oddAddress(addr))
	for range max(0, place-1) {
		r.xff = append(r.xff, pick(r.dice, remoteAddrs...))
	}
}

// oddAddress is the address, now and then in a form that is no plain one.
func (r *draft) oddAddress(addr string) string {
	if !r.oneIn(7) {
		return addr
	}
	r.tag("xff/odd")
	v6 := strings.Contains(addr, ":")
	switch {
	case v6:
		return pick(r.dice, "["+addr+"]", "["+addr+"]:80", strings.ToUpper(addr))
	default:
		return pick(r.dice, addr+":8080", "unknown", "", "::ffff:"+addr, "\""+addr+"\"", addr+".", "0"+addr)
	}
}

// forwarded writes the forwarded addresses down, in one line or two.
func (r *draft) forwarded() {
	if len(r.xff) == 0 {
		if r.p.focus == "" && r.oneIn(12) {
			r.header("X-Forwarded-For", pick(r.dice, remoteAddrs...))
		}
		return
	}
	r.tag("request/xff")
	join := pick(r.dice, ",", ", ", ", ", " , ")
	if len(r.xff) > 1 && r.oneIn(6) {
		r.header("X-Forwarded-For", r.xff[0])
		r.header("x-forwarded-for", strings.Join(r.xff[1:], join))
		r.tag("xff/lines")
		return
	}
	r.header("X-Forwarded-For", strings.Join(r.xff, join)+pick(r.dice, "", "", "", "", "", "", ",", " "))
}
