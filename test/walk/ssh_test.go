package walk

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"vitrine/internal/client"
)

// bootLimit is how long an emulated guest may take to answer while neighbours have the processor.
const bootLimit = 6 * time.Minute

// question is what is asked of every guest.
const question = "uname -a; id; hostname"

// operator is the socket of whoever runs the server.
func (s *server) operator() *client.Operator {
	s.t.Helper()
	where, err := client.ReadServer(s.data)
	if err != nil {
		s.t.Fatal(err)
	}
	return client.NewOperator(where.Operator)
}

// admin is Azure Resource Manager as the first principal of a tenant.
func (s *server) admin(tenant string) *client.ARM {
	s.t.Helper()
	where, err := client.ReadServer(s.data)
	if err != nil {
		s.t.Fatal(err)
	}
	a, err := client.NewARM(where, client.NewOperator(where.Operator).Tokens(tenant))
	if err != nil {
		s.t.Fatal(err)
	}
	return a
}

// do sends one ARM request as the first principal of a tenant and wants it to succeed, to its end.
func (s *server) do(tenant, method, path, version string, in, out any) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), bootLimit)
	defer cancel()
	if err := s.admin(tenant).Do(ctx, method, path, version, in, out); err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
}

// guestAccess is a way into a machine: its address, a user, and host keys that only the machine can have.
type guestAccess struct {
	s               *server
	vmID, ip, known string
	user, identity  string
}

// access waits until the machine has shown its host keys on the serial console: whoever answers with another is not it.
func (s *server) access(tenant, machine, ip, user string) guestAccess {
	s.t.Helper()
	var doc client.MachineDoc
	s.do(tenant, http.MethodGet, machine, "2024-11-01", nil, &doc)
	g := guestAccess{s: s, vmID: doc.Properties.VMID, ip: ip, user: user, known: filepath.Join(s.home, "known-"+doc.Properties.VMID), identity: filepath.Join(s.home, ".ssh", "id_rsa")}
	var serial string
	s.await("the guest's host keys on its serial console", s.boot, func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		text, err := s.operator().SerialLog(ctx, g.vmID)
		if err != nil {
			s.t.Fatal(err)
		}
		serial = text
		return len(client.HostKeys(serial)) > 0
	})
	if err := os.WriteFile(g.known, client.KnownHosts(ip, client.HostKeys(serial)), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return g
}

// run runs a command in the guest, once.
func (g guestAccess) run(command string) result {
	g.s.t.Helper()
	args := []string{"-F", "none", "-i", g.identity, "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "ConnectTimeout=10",
		"-o", "ServerAliveInterval=10", "-o", "UserKnownHostsFile=" + g.known}
	if !freeSSH() {
		args = append(args, "-o", "ProxyCommand="+g.s.bin+" --data "+g.s.data+" vm connect %h %p")
	}
	return g.s.exec(nil, "ssh", append(args, g.user+"@"+g.ip, command)...)
}

// answers runs a command as soon as the guest lets it, and gives what it printed.
func (g guestAccess) answers(command string) string {
	g.s.t.Helper()
	var r result
	g.s.await("the guest "+g.ip+" to answer by SSH", g.s.boot, func() bool {
		r = g.run(command)
		if strings.Contains(r.err, "Host key verification failed") {
			g.s.t.Fatalf("another machine answers at %s:\n%s", g.ip, r.err)
		}
		return r.code == 0
	})
	return r.out
}

// sshKey makes the key pair that az makes with --generate-ssh-keys, and returns the public half.
func (s *server) sshKey() string {
	s.t.Helper()
	path := filepath.Join(s.home, ".ssh", "id_rsa")
	if _, err := os.Stat(path); err != nil {
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "rsa", "-N", "", "-f", path).CombinedOutput(); err != nil {
			s.t.Fatalf("ssh-keygen: %v\n%s", err, out)
		}
	}
	raw, err := os.ReadFile(path + ".pub")
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.TrimSpace(string(raw))
}
