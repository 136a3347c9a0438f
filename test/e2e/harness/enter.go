// Package harness runs tests against a mesh that is real in every part but the
// containers: kube-apiserver with RBAC and an audit log, istiod, Envoys started by
// pilot-agent, and an application, each Pod a process with a network of its own.
// It needs no root: everything lives in a user, mount, network and process
// namespace, which the test binary makes for itself and which ends with it.
package harness

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// inside is set for a process that Enter has started in its namespaces.
const inside = "ASMJWT_E2E_INSIDE"

// Enter gives the program namespaces of its own, by starting it again in them.
// It returns false where that has been done already, and the exit code of the
// program in them otherwise. Without the right to make a user namespace it is
// tried without one, which root may do.
func Enter() (code int, done bool, err error) {
	if os.Getenv(inside) != "" {
		return 0, false, prepare()
	}
	if err := missingTools(); err != nil {
		return 0, false, err
	}
	// A child dies with the thread that started it (Pdeathsig), so this one stays.
	runtime.LockOSThread()
	flags := uintptr(unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWPID)
	cmd := self(flags | unix.CLONE_NEWUSER)
	err = cmd.Start()
	if err != nil && os.Geteuid() == 0 {
		cmd = self(flags)
		err = cmd.Start()
	}
	if err != nil {
		return 0, false, fmt.Errorf("make namespaces: %w\nhint: run as root, or allow user namespaces (sysctl kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0)", err)
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if exit.ExitCode() < 0 {
			return 0, true, fmt.Errorf("in its namespaces: %w", err)
		}
		return exit.ExitCode(), true, nil
	}
	return 0, true, err
}

func self(flags uintptr) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags, Pdeathsig: syscall.SIGKILL}
	if flags&unix.CLONE_NEWUSER != 0 {
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	return cmd
}

// prepare is the first thing done in the namespaces.
func prepare() error {
	for _, m := range []struct {
		source, target, kind string
		flags                uintptr
	}{
		{"none", "/", "", unix.MS_REC | unix.MS_PRIVATE},
		{"proc", "/proc", "proc", unix.MS_NOSUID | unix.MS_NOEXEC | unix.MS_NODEV},
		{"tmpfs", "/run", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV}, // for ip netns
	} {
		if err := unix.Mount(m.source, m.target, m.kind, m.flags, ""); err != nil {
			return fmt.Errorf("mount %s in the namespaces: %w", m.target, err)
		}
	}
	return nil
}

// missingTools names the commands that are not there, and where they come from.
func missingTools() error {
	var commands, packages []string
	for _, c := range []struct{ command, in string }{
		{"ip", "iproute2"}, {"iptables-restore", "iptables"}, {"iptables", "iptables"},
		{"unshare", "util-linux"}, {"nsenter", "util-linux"}, {"mount", "mount"}, {"curl", "curl"},
	} {
		if _, err := exec.LookPath(c.command); err == nil {
			continue
		}
		commands = append(commands, c.command)
		if !strings.Contains(strings.Join(packages, " "), c.in) {
			packages = append(packages, c.in)
		}
	}
	if commands == nil {
		return nil
	}
	return fmt.Errorf("not on this machine: %s\nhint: apt-get install %s", strings.Join(commands, ", "), strings.Join(packages, " "))
}
