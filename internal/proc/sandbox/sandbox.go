// Package sandbox runs a tool of the host that reads hostile input, with nothing in reach but what it is handed as open files.
//
// It owns the way there by Debian's plain tools (util-linux and coreutils, which every Debian has): namespaces of its own for
// users, network, mounts, IPC and processes; a root that holds /usr read-only, the links into it, /dev/null, and nothing else;
// no capability, no new privilege; limits on memory, CPU time and open files, and no file may be written at all. Run as root,
// the tool is the user nobody. It does not know what is run, and it never runs anything with less than this.
//
//	Limits, proc.Spec{Path, Args, Files} ─▶ unshare ─▶ mounts ─▶ unshare --pid ─▶ chroot ─▶ prlimit, setpriv ─▶ the tool
package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"vitrine/internal/proc"
)

// Limits bound a tool.
type Limits struct {
	Memory int64         // address space, in bytes
	Time   time.Duration // wall clock, and CPU time
}

// ErrUnavailable says that this host gives no namespaces, so that nothing was run.
var ErrUnavailable = errors.New("sandbox: this host does not allow the namespaces that a tool is locked into")

// room is run by sh in the new namespaces. Mounts are made before the process namespace, where /proc would be another's.
const room = `set -eu
mount -t tmpfs -o size=64k,mode=0755 none /tmp
mkdir /tmp/usr /tmp/etc /tmp/dev
: >/tmp/dev/null
mount --bind /dev/null /tmp/dev/null
mount --rbind /usr /tmp/usr
mount -o remount,bind,ro /tmp/usr
for d in bin sbin lib lib64; do
	if [ -L /$d ]; then ln -s "$(readlink /$d)" /tmp/$d
	elif [ -d /$d ]; then mkdir /tmp/$d; mount --rbind /$d /tmp/$d; mount -o remount,bind,ro /tmp/$d
	fi
done
if [ -e /etc/ld.so.cache ]; then : >/tmp/etc/ld.so.cache; mount --bind /etc/ld.so.cache /tmp/etc/ld.so.cache; fi
mount -o remount,bind,ro /tmp
exec unshare --pid --fork --kill-child -- chroot /tmp "$@"`

// nobody is the user and group of that name on Debian and everywhere else.
const nobody = "65534"

// Run runs a tool as proc.Run does. What it may read and write are Files, Stdin and what it prints. An ErrUnavailable
// means that it was not run; a deadline is the error of its context, context.DeadlineExceeded.
func Run(ctx context.Context, s proc.Spec, l Limits) (proc.Result, error) {
	tool, err := proc.LookPath(s.Path)
	if err != nil {
		return proc.Result{}, err
	}
	way, err := find(ctx)
	if err != nil {
		return proc.Result{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, l.Time)
	defer cancel()
	bounds := []string{"prlimit", "--as=" + strconv.FormatInt(l.Memory, 10), "--cpu=" + strconv.FormatInt(int64(l.Time/time.Second)+1, 10),
		"--fsize=0", "--core=0", "--nofile=64", "--"}
	args := append(way.command(bounds...), append([]string{tool}, s.Args...)...)
	s.Path, s.Args, s.Dir, s.Env = args[0], args[1:], "/", []string{"PATH=/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL=C"}
	return proc.Run(ctx, s)
}

// way is one of the two into the namespaces.
type way struct {
	before []string // leaves the user root, for a namespace in which it is mapped to nothing but itself
	user   bool     // a user namespace, so that no privilege of the host is needed
	after  []string // leaves the user root inside, where there is no user namespace
}

func (w way) command(inside ...string) []string {
	c := append([]string{}, w.before...)
	c = append(c, "unshare")
	if w.user {
		c = append(c, "--user", "--map-root-user")
	}
	c = append(c, "--net", "--mount", "--ipc", "--uts", "--", "sh", "-c", room, "sandbox")
	c = append(c, inside...)
	c = append(c, "setpriv", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all")
	return append(append(c, w.after...), "--")
}

// find tries the ways with a tool that does nothing.
func find(ctx context.Context) (way, error) {
	leave := []string{"--reuid=" + nobody, "--regid=" + nobody, "--clear-groups"}
	ways := []way{{user: true}}
	if os.Geteuid() == 0 {
		ways = []way{{before: append(append([]string{"setpriv"}, leave...), "--"), user: true}, {after: leave}}
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var last error
	for _, w := range ways {
		c := append(w.command(), "true")
		_, err := proc.Run(ctx, proc.Spec{Path: c[0], Args: c[1:], Dir: "/", Env: []string{"PATH=/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL=C"}, Limit: 4096})
		if err == nil {
			return w, nil
		}
		if ctx.Err() != nil {
			return way{}, err
		}
		last = err
	}
	return way{}, fmt.Errorf("%w (%w)", ErrUnavailable, last)
}
