package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
)

// adminToken is the bearer token of a system:masters user; the server listens
// where only this machine, or only this network namespace, can reach it.
const adminToken = "rig-token"

// auditPolicy logs everything with its request body. The CRDs' bodies are large
// and nobody's secret.
const auditPolicy = `{"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": [
	{"level": "Metadata", "resources": [{"group": "apiextensions.k8s.io"}]}, {"level": "Request"}]}`

// plane is kube-apiserver and kube-controller-manager as children of this process.
type plane struct {
	options
	server string     // URL of the API server
	ended  chan error // gets the reason when a child ends
}

func newPlane(o options) (*plane, error) {
	if o.port == 0 {
		var err error
		if o.port, err = freePort(); err != nil {
			return nil, err
		}
	}
	p := &plane{options: o, ended: make(chan error, 2)}
	p.server = "https://" + net.JoinHostPort(p.address(), strconv.Itoa(o.port))
	return p, p.writeFiles()
}

// address is where the API server listens: Pods with a network of their own
// cannot reach this one's loopback.
func (p *plane) address() string {
	if p.network {
		return gatewayIP
	}
	return "127.0.0.1"
}

func (p *plane) file(name string) string { return filepath.Join(p.dir, name) }

// run starts this program again as NAME, with NAME.log for what it says.
func (p *plane) run(name string, args ...string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	out, err := os.Create(p.file(name + ".log"))
	if err != nil {
		return err
	}
	cmd := exec.Command(self, append([]string{name}, args...)...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return start(cmd, func(err error) { p.ended <- fmt.Errorf("%s ended: %v (see %s)", name, err, out.Name()) })
}

func (p *plane) startAPIServer(ctx context.Context, etcd string) error {
	args := []string{
		"--etcd-servers=" + etcd,
		"--bind-address=" + p.address(), "--advertise-address=" + p.address(), fmt.Sprintf("--secure-port=%d", p.port),
		"--tls-cert-file=" + p.file("server.crt"), "--tls-private-key-file=" + p.file("server.key"),
		"--endpoint-reconciler-type=none", "--service-cluster-ip-range=" + serviceRange,
		"--token-auth-file=" + p.file("tokens.csv"), "--authorization-mode=RBAC", "--allow-privileged",
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + p.file("sa.pub"), "--service-account-signing-key-file=" + p.file("sa.key"),
		"--kubelet-preferred-address-types=InternalIP",
	}
	if p.audit {
		if err := os.WriteFile(p.file("audit.yaml"), []byte(auditPolicy), 0o600); err != nil {
			return err
		}
		args = append(args, "--audit-policy-file="+p.file("audit.yaml"), "--audit-log-path="+p.file("audit.log"))
	}
	if err := p.run("apiserver", append(args, p.apiserver...)...); err != nil {
		return err
	}
	return p.waitReady(ctx)
}

// startControllers starts those that make ServiceAccounts, root certificates,
// endpoints and Pods of Deployments, and that end namespaces.
func (p *plane) startControllers() error {
	return p.run("controllers",
		"--kubeconfig="+p.file("kubeconfig"), "--bind-address=127.0.0.1", "--secure-port=0",
		"--leader-elect=false", "--use-service-account-credentials=false",
		"--service-account-private-key-file="+p.file("sa.key"), "--root-ca-file="+p.file("server.crt"),
		"--controllers=serviceaccount-controller,serviceaccount-token-controller,root-ca-certificate-publisher-controller,"+
			"namespace-controller,endpointslice-controller,replicaset-controller,deployment-controller,garbage-collector-controller",
	)
}

// writeFiles writes the server's certificate, the key that signs service
// account tokens, the admin's token and the kubeconfig.
func (p *plane) writeFiles() error {
	ips := []net.IP{net.IPv4(127, 0, 0, 1), net.ParseIP(gatewayIP)}
	crt, key, err := cert.GenerateSelfSignedCertKey(p.address(), ips, []string{"localhost", "kubernetes.default.svc"})
	if err != nil {
		return err
	}
	sa, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	saKey, err := keyutil.MarshalPrivateKeyToPEM(sa)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKIXPublicKey(&sa.PublicKey)
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{
		"server.crt": crt, "server.key": key, "sa.key": saKey,
		"sa.pub":     pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}),
		"tokens.csv": []byte(adminToken + ",rig-admin,rig-admin,system:masters\n"),
	} {
		if err := os.WriteFile(p.file(name), data, 0o600); err != nil {
			return err
		}
	}
	kc := clientcmdapi.NewConfig()
	kc.Clusters["rig"] = &clientcmdapi.Cluster{Server: p.server, CertificateAuthorityData: crt}
	kc.AuthInfos["rig-admin"] = &clientcmdapi.AuthInfo{Token: adminToken}
	kc.Contexts["rig"] = &clientcmdapi.Context{Cluster: "rig", AuthInfo: "rig-admin"}
	kc.CurrentContext = "rig"
	return clientcmd.WriteToFile(*kc, p.file("kubeconfig"))
}

// waitReady waits until the API server says that it is.
func (p *plane) waitReady(ctx context.Context) error {
	pool, err := cert.NewPool(p.file("server.crt"))
	if err != nil {
		return err
	}
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}, Timeout: 2 * time.Second}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.server+"/readyz", nil)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+adminToken)
		if res, err := c.Do(req); err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the API server: %w (see %s)", ctx.Err(), p.file("apiserver.log"))
		case err := <-p.ended:
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// startEtcd starts etcd in this process, without fsync, and returns its URL.
func startEtcd(ctx context.Context, dir string) (string, error) {
	cfg := embed.NewConfig()
	cfg.Dir = dir
	cfg.UnsafeNoFsync = true
	cfg.LogLevel = "error"
	client, err := freeURL()
	if err != nil {
		return "", err
	}
	peer, err := freeURL()
	if err != nil {
		return "", err
	}
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		return "", err
	}
	select {
	case <-e.Server.ReadyNotify():
		return client.String(), nil
	case err := <-e.Err():
		return "", err
	case <-ctx.Done():
		return "", ctx.Err()
	case <-time.After(time.Minute):
		return "", errors.New("not ready after a minute")
	}
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func freeURL() (url.URL, error) {
	p, err := freePort()
	return url.URL{Scheme: "http", Host: fmt.Sprintf("127.0.0.1:%d", p)}, err
}
