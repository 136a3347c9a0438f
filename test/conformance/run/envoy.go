package run

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	fileaccesslog "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/file/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
)

// envoy is one process with the listeners of a batch of meshes.
type envoy struct {
	cmd   *exec.Cmd
	dir   string
	admin string
	log   string
	died  chan struct{}
	// stderr is what Envoy itself logs, for errors.
	stderr *tail
}

// upstream is a cluster: one endpoint on loopback, or one of istiod's, as it is.
type upstream struct {
	name, address string
	cluster       map[string]any
}

// logFile is where the Envoy of a directory writes its access log.
func logFile(dir string) string { return filepath.Join(dir, "access.log") }

// How a log names who was at the other end of the connection; behind a tunnel, at
// the other end of that.
const (
	directPeer   = "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%"
	tunnelledFor = "%FILTER_STATE(envoy.filters.listener.original_dst.remote_ip:PLAIN)%"
)

// accessLog is the log of the listener of that name.
func accessLog(dir, listener, peer string) (*accesslogv3.AccessLog, error) {
	format, err := structpb.NewStruct(map[string]any{
		"listener":    listener,
		"peer":        peer,
		"details":     "%RESPONSE_CODE_DETAILS%",
		"termination": "%CONNECTION_TERMINATION_DETAILS%",
		"upstream":    "%UPSTREAM_LOCAL_ADDRESS%",
	})
	if err != nil {
		return nil, err
	}
	config, err := anypb.New(&fileaccesslog.FileAccessLog{Path: logFile(dir),
		AccessLogFormat: &fileaccesslog.FileAccessLog_LogFormat{LogFormat: &corev3.SubstitutionFormatString{
			Format: &corev3.SubstitutionFormatString_JsonFormat{JsonFormat: format}}}})
	if err != nil {
		return nil, err
	}
	return &accesslogv3.AccessLog{Name: "envoy.access_loggers.file",
		ConfigType: &accesslogv3.AccessLog_TypedConfig{TypedConfig: config}}, nil
}

// startEnvoy starts the process with the listeners; dir is removed by stop.
func startEnvoy(ctx context.Context, binary, dir string, listeners []*listenerv3.Listener, clusters []upstream) (*envoy, error) {
	e := &envoy{dir: dir, log: logFile(dir), died: make(chan struct{}), stderr: &tail{}}
	if err := writeListeners(filepath.Join(dir, "lds.pb"), listeners); err != nil {
		return nil, err
	}
	config, err := json.Marshal(bootstrap(dir, clusters))
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "bootstrap.json"), config, 0o600); err != nil {
		return nil, err
	}
	e.cmd = exec.Command(binary, "--config-path", filepath.Join(dir, "bootstrap.json"), "--disable-hot-restart",
		"--file-flush-interval-msec", "50", "--concurrency", "1", "--log-level", "warn",
		"--admin-address-path", filepath.Join(dir, "admin"))
	e.cmd.Stderr = e.stderr
	// A test that is killed leaves no Envoy behind.
	e.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := e.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", binary, err)
	}
	go func() {
		_ = e.cmd.Wait()
		close(e.died)
	}()
	return e, e.awaitAdmin(ctx)
}

// writeListeners writes what Envoy reads as the answer of a listener discovery service.
func writeListeners(path string, listeners []*listenerv3.Listener) error {
	response := &discoveryv3.DiscoveryResponse{VersionInfo: "1", TypeUrl: "type.googleapis.com/envoy.config.listener.v3.Listener"}
	for _, l := range listeners {
		packed, err := anypb.New(l)
		if err != nil {
			return err
		}
		response.Resources = append(response.Resources, packed)
	}
	data, err := proto.Marshal(response)
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o600)
}

// bootstrap sets the runtime flags that pilot-agent sets (Istio
// pkg/bootstrap/config.go) and no more.
func bootstrap(dir string, clusters []upstream) map[string]any {
	var static []any
	for _, c := range clusters {
		if c.cluster != nil {
			static = append(static, c.cluster)
			continue
		}
		host, port, _ := net.SplitHostPort(c.address)
		number, _ := strconv.Atoi(port)
		endpoint := map[string]any{"address": map[string]any{"socket_address": map[string]any{"address": host, "port_value": number}}}
		static = append(static, map[string]any{
			"name": c.name, "type": "STATIC", "connect_timeout": "5s",
			"load_assignment": map[string]any{"cluster_name": c.name, "endpoints": []any{
				map[string]any{"lb_endpoints": []any{map[string]any{"endpoint": endpoint}}}}},
		})
	}
	return map[string]any{
		"node":  map[string]any{"id": "sidecar~10.10.0.1~judge.judge~judge.svc.cluster.local", "cluster": "judge"},
		"admin": map[string]any{"address": map[string]any{"socket_address": map[string]any{"address": "127.0.0.1", "port_value": 0}}},
		"layered_runtime": map[string]any{"layers": []any{map[string]any{"name": "global config", "static_layer": map[string]any{
			"envoy.reloadable_features.http_reject_path_with_fragment":       false,
			"envoy.reloadable_features.fixed_heap_use_allocated":             true,
			"envoy.reloadable_features.coalesce_lb_rebuilds_on_batch_update": false,
			"re2.max_program_size.error_level":                               "32768",
		}}}},
		"dynamic_resources": map[string]any{"lds_config": map[string]any{
			"resource_api_version": "V3",
			"path_config_source":   map[string]any{"path": filepath.Join(dir, "lds.pb")},
		}},
		"bootstrap_extensions": []any{map[string]any{"name": "envoy.bootstrap.internal_listener", "typed_config": map[string]any{
			"@type": "type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener",
		}}},
		"static_resources": map[string]any{"clusters": static},
	}
}

// awaitAdmin waits for the admin port.
func (e *envoy) awaitAdmin(ctx context.Context) error {
	for {
		if data, err := os.ReadFile(filepath.Join(e.dir, "admin")); err == nil && len(data) > 0 {
			e.admin = strings.TrimSpace(string(data))
			return nil
		}
		if err := e.pause(ctx); err != nil {
			return err
		}
	}
}

// pause waits a little, and fails when there is nothing more to wait for.
func (e *envoy) pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-e.died:
		return fmt.Errorf("envoy has ended: %s", e.stderr)
	case <-time.After(10 * time.Millisecond):
		return nil
	}
}

// awaitListeners waits until each of the names is either there or refused, and
// gives the reasons of the refused ones.
func (e *envoy) awaitListeners(ctx context.Context, names []string) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		missing, err := e.missing(names)
		if err != nil {
			return nil, err
		}
		if len(missing) == 0 {
			return nil, nil
		}
		refused, err := e.refused()
		if err != nil {
			return nil, err
		}
		told := 0
		for _, name := range missing {
			if refused[name] != "" {
				told++
			}
		}
		if told == len(missing) {
			return refused, nil
		}
		if err := e.pause(ctx); err != nil {
			return nil, fmt.Errorf("wait for listeners %v: %w (%s)", missing[:min(len(missing), 5)], err, e.stderr)
		}
	}
}

// missing gives those of the names for which Envoy has no listener.
func (e *envoy) missing(names []string) ([]string, error) {
	body, err := e.get("/listeners?format=json")
	if err != nil {
		return nil, err
	}
	var all struct {
		Statuses []struct{ Name string } `json:"listener_statuses"`
	}
	if err := json.Unmarshal(body, &all); err != nil {
		return nil, err
	}
	there := map[string]bool{}
	for _, l := range all.Statuses {
		there[l.Name] = true
	}
	var missing []string
	for _, name := range names {
		if !there[name] {
			missing = append(missing, name)
		}
	}
	return missing, nil
}

// refused gives the reason by the name of each listener that was refused.
func (e *envoy) refused() (map[string]string, error) {
	body, err := e.get("/config_dump?resource=dynamic_listeners&mask=error_state")
	if err != nil {
		return nil, err
	}
	var dump struct {
		Configs []struct {
			Error struct {
				Config struct{ Name string } `json:"failed_configuration"`
				Reason string                `json:"details"`
			} `json:"error_state"`
		}
	}
	if err := json.Unmarshal(body, &dump); err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, c := range dump.Configs {
		if c.Error.Config.Name != "" {
			out[c.Error.Config.Name] = c.Error.Reason
		}
	}
	return out, nil
}

// get asks the admin port.
func (e *envoy) get(path string) ([]byte, error) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	resp, err := client.Get("http://" + e.admin + path)
	if err != nil {
		return nil, fmt.Errorf("envoy's admin port: %w (%s)", err, e.stderr)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("envoy's admin port: %s for %s: %s", resp.Status, path, body[:min(len(body), 300)])
	}
	return body, err
}

// alive fails where the process has ended by itself: its last answers are none.
func (e *envoy) alive() error {
	select {
	case <-e.died:
		return fmt.Errorf("envoy has ended: %s", e.stderr)
	default:
		return nil
	}
}

// stop ends the process and removes its directory.
func (e *envoy) stop() error {
	select {
	case <-e.died:
	default:
		_ = e.cmd.Process.Kill()
		<-e.died
	}
	return os.RemoveAll(e.dir)
}

// tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n, err := t.buf.Write(p)
	if extra := t.buf.Len() - 16<<10; extra > 0 {
		t.buf.Next(extra)
	}
	return n, err
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.String()
}

// findEnvoy gives the Envoy to run: ASMJWT_ENVOY, or the one that make installs.
func findEnvoy() (string, error) {
	if path := os.Getenv("ASMJWT_ENVOY"); path != "" {
		return path, nil
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		path := filepath.Join(dir, ".cache", "envoy", "envoy")
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("no .cache/envoy/envoy above the working directory: run make, or set ASMJWT_ENVOY")
		}
	}
}

// Version asks an Envoy for its version ("1.40.0"); path "" is the one that Run takes.
func Version(ctx context.Context, path string) (string, error) {
	if path == "" {
		var err error
		if path, err = findEnvoy(); err != nil {
			return "", err
		}
	}
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("%s --version: %w", path, err)
	}
	// envoy  version: COMMIT/VERSION/Clean/RELEASE/BoringSSL
	_, told, _ := strings.Cut(string(out), "version: ")
	parts := strings.Split(strings.TrimSpace(told), "/")
	if len(parts) < 2 {
		return "", fmt.Errorf("%s --version: no version in %q", path, out)
	}
	return parts[1], nil
}
