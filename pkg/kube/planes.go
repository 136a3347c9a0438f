package kube

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

// Planes are the API servers of a mesh: one that has the pods, and one that has the
// mesh's objects. On most meshes they are the same.
type Planes struct {
	Data, Mesh *Cluster
	// MeshFrom says how the mesh's server was chosen where it is another one.
	MeshFrom string

	data, mesh *Served
}

// Split reports whether the mesh has an API server of its own.
func (p *Planes) Split() bool { return p.Mesh != p.Data }

// Open asks both servers what they serve. fallback gives the mesh's server where the one
// with the pods does not serve security.istio.io and none was named; it may be nil, and
// give nil.
func Open(ctx context.Context, data, named *Cluster, fallback func() (*Cluster, string, error)) (*Planes, error) {
	p := &Planes{Data: data, Mesh: data}
	if named != nil {
		p.Mesh = named
	}
	if err := p.discover(ctx); err != nil {
		return nil, err
	}
	if named == nil && fallback != nil && !p.data.Serves(mesh.GroupSecurity) {
		other, from, err := fallback()
		if err != nil {
			return nil, err
		}
		if other != nil {
			p.Mesh, p.MeshFrom = other, from
			if err := p.discover(ctx); err != nil {
				return nil, err
			}
		}
	}
	return p, nil
}

func (p *Planes) discover(ctx context.Context) error {
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) { p.data, err = p.Data.Discover(gctx); return err })
	if p.Split() {
		group.Go(func() (err error) { p.mesh, err = p.Mesh.Discover(gctx); return err })
	}
	err := group.Wait()
	if !p.Split() {
		p.mesh = p.data
	}
	if ctx.Err() != nil {
		return fmt.Errorf("ask the API server what it serves: %w", ctx.Err())
	}
	if err != nil && errors.Is(err, context.Canceled) {
		return fmt.Errorf("ask the API server what it serves: %w", err)
	}
	return err
}

// DataServes and MeshServes are what the two servers serve.
func (p *Planes) DataServes() *Served { return p.data }

// MeshServes is what the mesh's own server serves.
func (p *Planes) MeshServes() *Served { return p.mesh }

// find says where a read goes, and how the kind is served there. Pods and what makes them
// are where the workloads are; the mesh's objects where the mesh's server has them, else
// where the workloads are.
func (p *Planes) find(r query) (*Cluster, resource, bool) {
	if r.plane == meshPlane || r.plane == anyPlane && !onDataPlane(r.group) {
		if res, ok := p.mesh.find(r.group, r.kind); ok {
			return p.Mesh, res, true
		}
		if r.plane == meshPlane {
			return nil, resource{}, false
		}
	}
	res, ok := p.data.find(r.group, r.kind)
	return p.Data, res, ok
}

// onDataPlane reports whether the objects of a group are where the pods are.
func onDataPlane(group string) bool {
	return group == mesh.GroupCore || group == mesh.GroupApps || group == mesh.GroupBatch
}

func (p *Planes) stale(group string) bool { return p.data.stale[group] || p.mesh.stale[group] }
