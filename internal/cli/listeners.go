package cli

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

// listeners names who listens on a TCP port of every address: "sshd (pid 612) on 0.0.0.0:22". While such a listener is
// there, no 127.x.y.z can be bound on that port.
func listeners(port uint16) []string {
	var found []string
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		raw, err := os.ReadFile(table)
		if err != nil {
			continue // no IPv6, for one
		}
		for line := range strings.Lines(string(raw)) {
			addr, inode, ok := listener(line)
			if !ok || addr.Port() != port || !addr.Addr().IsUnspecified() {
				continue
			}
			owner := ownerOf("socket:[" + inode + "]")
			if owner == "" {
				owner = "a process that only root can see"
			}
			found = append(found, fmt.Sprintf("%s on %s", owner, addr))
		}
	}
	return found
}

// listener reads a line of /proc/net/tcp or tcp6: slot, local address, remote address, state (0A: LISTEN), …, inode.
func listener(line string) (addr netip.AddrPort, inode string, ok bool) {
	f := strings.Fields(line)
	if len(f) < 10 || f[3] != "0A" {
		return addr, "", false
	}
	host, port, _ := strings.Cut(f[1], ":")
	raw, err := hex.DecodeString(host)
	p, errPort := strconv.ParseUint(port, 16, 16)
	if err != nil || errPort != nil || len(raw)%4 != 0 {
		return addr, "", false
	}
	for word := range slices.Chunk(raw, 4) { // each 32-bit word is in the host's order, little endian where QEMU runs
		slices.Reverse(word)
	}
	a, valid := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(a, uint16(p)), f[9], valid
}

// ownerOf finds the process that has a socket open, if we may look into it.
func ownerOf(socket string) string {
	open, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return ""
	}
	for _, fd := range open {
		if target, err := os.Readlink(fd); err != nil || target != socket {
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
