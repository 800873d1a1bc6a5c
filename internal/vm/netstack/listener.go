package netstack

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// whoListens finds who holds a TCP port that overlaps an address: "sshd (pid 612) on 0.0.0.0:22". The process can only
// be named if we may look into it; otherwise the answer is the address, or nothing.
func whoListens(want netip.AddrPort) string {
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		b, err := os.ReadFile(table)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(b)) {
			addr, inode, ok := listenerIn(line)
			if !ok || addr.Port() != want.Port() || addr.Addr() != want.Addr() && !addr.Addr().IsUnspecified() {
				continue
			}
			if owner := ownerOf(inode); owner != "" {
				return fmt.Sprintf("%s on %s", owner, addr)
			}
			return fmt.Sprintf("a process of another user on %s", addr)
		}
	}
	return ""
}

// listenerIn reads a line of /proc/net/tcp: fields are slot, local address, remote address, state (0A: LISTEN), …, with
// the inode as the tenth.
func listenerIn(line string) (addr netip.AddrPort, inode string, ok bool) {
	f := strings.Fields(line)
	if len(f) < 10 || f[3] != "0A" {
		return addr, "", false
	}
	host, port, found := strings.Cut(f[1], ":")
	b, err := hex.DecodeString(host)
	p, errPort := strconv.ParseUint(port, 16, 16)
	if !found || err != nil || errPort != nil || len(b)%4 != 0 {
		return addr, "", false
	}
	for word := range slices.Chunk(b, 4) { // 32-bit words in the host's (little endian) order
		slices.Reverse(word)
	}
	a, valid := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(a.Unmap(), uint16(p)), f[9], valid
}

func ownerOf(inode string) string {
	fds, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return ""
	}
	want := "socket:[" + inode + "]"
	for _, fd := range fds {
		if target, err := os.Readlink(fd); err != nil || target != want {
			continue
		}
		pid := strings.Split(fd, "/")[2]
		name, err := os.ReadFile("/proc/" + pid + "/comm")
		if err != nil {
			return ""
		}
		return fmt.Sprintf("%s (pid %s)", strings.TrimSpace(string(name)), pid)
	}
	return ""
}
