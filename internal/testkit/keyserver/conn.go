package keyserver

import (
	"crypto/tls"
	"io"
	"log"
	"net"
)

var discard = log.New(io.Discard, "", 0)

// linger makes the next Close send a reset instead of an end.
func linger(conn net.Conn) {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	if t, ok := conn.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
}
