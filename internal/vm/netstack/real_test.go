package netstack

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/crypto/ssh"

	"vitrine/internal/proc"
	"vitrine/internal/vm"
	"vitrine/internal/vm/qemu"
	"vitrine/internal/vm/seed"
)

// TestMain lets this binary be the processes that tests start.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[2] == "--dir" {
		roles := map[string]func(context.Context, string) error{"netstack": Run, "supervise": qemu.Supervise}
		if err := roles[os.Args[1]](context.Background(), os.Args[3]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// guestImage is a guest that "make guest" or "make guest-debian" has built.
func guestImage(t *testing.T, name string) string {
	t.Helper()
	image, err := filepath.Abs("../../../build/guest/" + name)
	if err != nil {
		t.Fatal(err)
	}
	_, err = os.Stat(image)
	if err == nil {
		_, _, err = qemu.Binaries()
	}
	if err != nil {
		if os.Getenv("VITRINE_FULL") == "1" {
			t.Fatal(err)
		}
		t.Skip("left out, no real guest boots: ", err)
	}
	return image
}

// installation is a runtime and networks on one data folder.
type installation struct {
	data     string
	runtime  *qemu.Runtime
	networks *Networks
}

func install(t *testing.T, data string) installation {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	r, err := qemu.Open(t.Context(), qemu.Config{Data: data, Self: []string{proc.Self(), "supervise"}, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	return installation{data, r, openNetworks(t, data)}
}

func openNetworks(t *testing.T, data string) *Networks {
	t.Helper()
	n, err := Open(t.Context(), Config{Data: data, Self: []string{proc.Self(), "netstack"}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// login runs a command in the guest, trying until it has booted.
func login(t *testing.T, addr string, key ssh.Signer, command string) string {
	t.Helper()
	config := &ssh.ClientConfig{User: "azureuser", Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, Timeout: 10 * time.Second,
		HostKeyCallback: ssh.InsecureIgnoreHostKey()}
	deadline := time.Now().Add(8 * time.Minute)
	var err error
	for tick := time.Tick(100 * time.Millisecond); time.Now().Before(deadline); <-tick {
		var out []byte
		if out, err = try(addr, config, command); err == nil {
			return string(out)
		}
	}
	t.Fatalf("no SSH in time: %v", err)
	return ""
}

func try(addr string, config *ssh.ClientConfig, command string) ([]byte, error) {
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	c, chans, reqs, err := ssh.NewClientConn(conn, addr, config)
	if err != nil {
		return nil, err
	}
	client := ssh.NewClient(c, chans, reqs)
	defer client.Close()
	session, err := client.NewSession()
	if err != nil {
		return nil, err
	}
	return session.CombinedOutput(command)
}

// rig is a real guest with what is around it.
type rig struct {
	installation
	machine vm.Machine
	network vm.Network
	key     ssh.Signer
	ssh     string // public address and port
	since   time.Time
}

// newRig boots a guest. What a failed test needs to be understood is logged at its end.
func newRig(t *testing.T, name string, firmware vm.Firmware) *rig {
	t.Helper()
	public := publicAddr()
	if testing.Short() {
		t.Skip("left out by -short: no real guest boots")
	}
	image := guestImage(t, name)
	g := &rig{installation: install(t, t.TempDir()), ssh: public.String() + ":22", since: time.Now()}
	_, private, _ := ed25519.GenerateKey(rand.Reader)
	key, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	g.key = key
	nic := vm.NIC{ID: uuid.NewString(), MAC: "52:54:00:aa:bb:01"}
	g.machine = vm.Machine{ID: uuid.NewString(), Name: "myVM", CPUs: 2, MemoryMiB: 512, NICs: []vm.NIC{nic}, Firmware: firmware,
		Disks: []vm.Disk{{Path: filepath.Join(g.data, "os.qcow2"), Format: vm.QCOW2}}, Seed: filepath.Join(g.data, "seed.iso")}
	g.network = vm.Network{ID: uuid.NewString(), Prefixes: prefixes("10.0.0.0/16"), Subnets: prefixes("10.0.0.0/24"),
		DNSSuffix: "internal.test", Endpoints: []vm.Endpoint{{NIC: nic.ID, Machine: g.machine.ID, MAC: nic.MAC,
			IP: netip.MustParseAddr("10.0.0.4"), Hostname: "myVM", Public: &vm.PublicIP{Addr: public},
			Groups: []vm.SecurityGroup{{ID: "nsg", Rules: []vm.Rule{allowIn("ssh", 1000, "22")}}}}}}
	iso, err := seed.ISO(seed.Config{InstanceID: g.machine.ID, Hostname: "myVM", User: "azureuser",
		SSHKeys: []string{string(ssh.MarshalAuthorizedKey(key.PublicKey()))}})
	if err == nil {
		err = os.WriteFile(g.machine.Seed, iso, 0o600)
	}
	if err == nil {
		err = g.runtime.CreateDisk(t.Context(), vm.NewDisk{Path: g.machine.Disks[0].Path, Base: image, BaseFormat: vm.QCOW2})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.remove(t) })
	g.ensure(t)
	st, err := g.networks.Status(t.Context(), g.network.ID)
	if err != nil || len(st.Endpoints) != 1 || len(st.Endpoints[0].Ports) != 1 {
		t.Fatalf("%+v, %v", st, err)
	}
	if p := st.Endpoints[0].Ports[0]; !p.Bound {
		t.Skipf("left out, %s cannot be bound: %s, %s", g.ssh, p.Problem, p.Listener)
	}
	g.lap(t, "network and QEMU started")
	return g
}

func (g *rig) remove(t *testing.T) {
	ctx := context.WithoutCancel(t.Context())
	if t.Failed() {
		serial, _ := g.runtime.SerialLog(ctx, g.machine.ID)
		st, err := g.networks.Status(ctx, g.network.ID)
		said, _ := os.ReadFile(filepath.Join(g.networks.dir(g.network.ID), "netstack.log"))
		t.Logf("status %+v, %v\nlog %s\nserial:\n%s", st, err, said, serial[max(0, len(serial)-4000):])
	}
	if err := errors.Join(g.runtime.Remove(ctx, g.machine.ID), g.networks.Remove(ctx, g.network.ID)); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(filepath.Join(g.data, "run")); len(left) != 0 {
		t.Errorf("sockets left: %v", left)
	}
}

// ensure declares what should be, as a server does after it has started.
func (g *rig) ensure(t *testing.T) {
	t.Helper()
	if err := errors.Join(g.networks.Ensure(t.Context(), g.network), g.runtime.Start(t.Context(), g.machine)); err != nil {
		t.Fatal(err)
	}
}

func (g *rig) run(t *testing.T, command string) string {
	t.Helper()
	return login(t, g.ssh, g.key, command)
}

func (g *rig) lap(t *testing.T, what string) {
	t.Logf("%-40s %s", what, time.Since(g.since).Round(10*time.Millisecond))
	g.since = time.Now()
}

func (g *rig) bootID(t *testing.T) string {
	t.Helper()
	return g.run(t, "cat /proc/sys/kernel/random/boot_id")
}

// TestRealGuest boots the tiny guest and goes through everything that may be restarted beneath a login.
func TestRealGuest(t *testing.T) {
	g := newRig(t, "tiny.qcow2", vm.BIOS)
	if out := g.run(t, "hostname; id -un"); out != "myVM\nazureuser\n" {
		t.Fatalf("%q", out)
	}
	g.lap(t, "first login")
	boot := g.bootID(t)
	g.lap(t, "second login")

	g.installation = install(t, g.data)
	if s, err := g.runtime.Status(t.Context(), g.machine.ID); err != nil || s.State != vm.Running {
		t.Fatalf("%+v, %v", s, err)
	}
	g.ensure(t)
	if g.bootID(t) != boot {
		t.Error("another server has started the guest again")
	}
	g.lap(t, "server replaced")

	g.killNetwork(t)
	g.since = time.Now()
	g.ensure(t)
	if g.bootID(t) != boot {
		t.Error("the guest has booted again")
	}
	g.lap(t, "network process killed and replaced")

	g.closeAndOpen(t)
	g.since = time.Now()
	if err := g.runtime.PowerOff(t.Context(), g.machine.ID, vm.PowerOff{Grace: 5 * time.Minute}); err != nil {
		t.Fatal(err)
	}
	if s, err := g.runtime.Status(t.Context(), g.machine.ID); err != nil || s.Reason != "powered off by the guest" {
		t.Errorf("%+v, %v", s, err)
	}
	g.lap(t, "power button to off")
	g.ensure(t)
	if out := g.run(t, "hostname"); out != "myVM\n" {
		t.Errorf("%q", out)
	}
	g.lap(t, "second boot to login")
}

func (g *rig) killNetwork(t *testing.T) {
	t.Helper()
	p := processOf(t, g.networks, g.network.ID)
	if err := proc.Signal(p, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := proc.Wait(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if _, err := g.networks.Status(t.Context(), g.network.ID); !errors.Is(err, vm.ErrNotFound) {
		t.Errorf("status of a killed network: %v", err)
	}
}

// closeAndOpen: without its rule the port is closed, to those who dial by the server too.
func (g *rig) closeAndOpen(t *testing.T) {
	t.Helper()
	ctx, nic := t.Context(), g.network.Endpoints[0].NIC
	closed := g.network
	closed.Endpoints = []vm.Endpoint{g.network.Endpoints[0]}
	closed.Endpoints[0].Groups = []vm.SecurityGroup{{ID: "nsg"}}
	if err := g.networks.Ensure(ctx, closed); err != nil {
		t.Fatal(err)
	}
	if c, err := net.Dial("tcp", g.ssh); err == nil {
		c.Close()
		t.Error("the port is open without a rule")
	}
	if c, err := g.networks.Dial(ctx, g.network.ID, nic, 22); err == nil {
		c.Close()
		t.Error("Dial passes the rules by")
	}
	g.ensure(t)
	conn, err := g.networks.Dial(ctx, g.network.ID, nic, 22)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	banner := make([]byte, 4)
	if _, err := io.ReadFull(conn, banner); err != nil || string(banner) != "SSH-" {
		t.Errorf("%q, %v", banner, err)
	}
}

// TestRealGuestUEFI is slow under TCG, so it is for the full suite alone.
func TestRealGuestUEFI(t *testing.T) {
	if os.Getenv("VITRINE_FULL") != "1" {
		t.Skip("left out without VITRINE_FULL=1: no guest boots by UEFI")
	}
	g := newRig(t, "tiny.qcow2", vm.UEFI)
	if out := g.run(t, "test -d /sys/firmware/efi && hostname"); out != "myVM\n" {
		t.Errorf("%q", out)
	}
	g.lap(t, "first login by UEFI")
}

func prefixes(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func allowIn(name string, priority int, ports ...string) vm.Rule {
	return vm.Rule{Name: name, Priority: priority, Direction: "Inbound", Access: "Allow", Protocol: "Tcp",
		Sources: []string{"*"}, Ports: ports}
}
