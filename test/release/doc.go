// Package release rehearses a release of the commit that is checked out: it is built twice
// and compared, looked into, installed by hand and with krew, run through a real kubectl,
// and completed in real shells. `make rehearse` brings the programs that it needs.
package release
