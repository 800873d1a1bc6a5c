package cli

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"vitrine/internal/client"
)

func (e *env) vm() *cobra.Command {
	group := &cobra.Command{Use: "vm", Short: "Ways into virtual machines"}
	group.AddCommand(e.vmSSH(), e.vmConnect())
	return group
}

func (e *env) vmConnect() *cobra.Command {
	return &cobra.Command{
		Use: "connect HOST PORT", Short: "Join stdin and stdout to a port of a virtual machine (an SSH ProxyCommand)",
		Long: `connect opens a TCP connection to a machine by its public or private address, also where that address cannot be bound on
this host. The network security groups decide as they do for any other connection.` + asOperator,
		Example: "  ssh -o ProxyCommand='vitrine vm connect %h %p' azureuser@127.1.0.4",
		Args:    exactly(2, "an address and a port"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := e.operator()
			if err != nil {
				return err
			}
			conn, err := o.Connect(cmd.Context(), args[0], args[1])
			if err != nil {
				return err
			}
			defer conn.Close()
			stop := context.AfterFunc(cmd.Context(), func() { conn.Close() })
			defer stop()
			return pipe(conn, e.in, e.out)
		},
	}
}

// pipe copies both ways. It ends when the far side has ended; stdin may have no end.
func pipe(conn net.Conn, in io.Reader, out io.Writer) error {
	go func() {
		_, _ = io.Copy(conn, in) // what the far side does not take any more shows on the way back
		if half, ok := conn.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
	}()
	_, err := io.Copy(out, conn)
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// sshSpec is what vm ssh was asked for.
type sshSpec struct {
	name, group, subscription string
	user, identity            string
	command                   []string
	who                       client.Credentials
}

func (e *env) vmSSH() *cobra.Command {
	var s sshSpec
	c := &cobra.Command{
		Use: "ssh NAME [-- CMD [ARG…]]", Short: "SSH into a virtual machine, wherever its address can be bound or not",
		Long: `ssh finds the machine by its name and runs the system's ssh through 'vitrine vm connect'. Host keys are kept in the data
folder, by the machine's ID, so that a new machine at an old address is never mistaken; a key that the machine showed on its
serial console is trusted at once.` + "\n" + asPrincipal,
		Example: "  vitrine vm ssh myVM\n  vitrine vm ssh myVM --resource-group myResourceGroup --user azureuser -- uname -a",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{errors.New("vm ssh needs the machine's name; see vitrine vm ssh --help")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			s.name, s.command = args[0], args[1:]
			return e.sshInto(cmd.Context(), s)
		},
	}
	f := c.Flags()
	f.StringVarP(&s.group, "resource-group", "g", "", "resource group, where the name alone is not enough")
	f.StringVar(&s.subscription, "subscription", "", "subscription, by ID")
	f.StringVarP(&s.user, "user", "l", "", "user to log in as (default the machine's administrator)")
	f.StringVarP(&s.identity, "identity", "i", "", "private key file")
	credentialFlags(c, &s.who)
	return c
}

func (e *env) sshInto(ctx context.Context, s sshSpec) error {
	server, err := e.server()
	if err != nil {
		return err
	}
	views, err := e.views(ctx, s)
	if err != nil {
		return err
	}
	m, err := client.FindMachine(ctx, views, s.name, s.group)
	if err != nil {
		return err
	}
	if s.user == "" {
		s.user = m.User
	}
	hosts := filepath.Join(e.data, "known_hosts")
	if serial, err := client.NewOperator(server.Operator).SerialLog(ctx, m.VMID); err == nil {
		if err := client.AddKnownHosts(hosts, m.VMID, client.HostKeys(serial)); err != nil {
			return err
		}
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	data, err := filepath.Abs(e.data)
	if err != nil {
		return err
	}
	run := exec.CommandContext(ctx, "ssh", sshArgs(s, m, self, data)...)
	run.Stdin, run.Stdout, run.Stderr = e.in, e.out, e.err
	run.Cancel = func() error { return run.Process.Signal(os.Interrupt) }
	err = run.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return ExitCode(exit.ExitCode())
	}
	return err
}

// sshArgs is the command line of ssh: host keys by the machine's ID, the way through our own connect.
func sshArgs(s sshSpec, m client.Machine, self, data string) []string {
	proxy := strings.ReplaceAll(quote(self)+" --data "+quote(data), "%", "%%") + " vm connect %h %p"
	args := []string{"-o", "ProxyCommand=" + proxy, "-o", "HostKeyAlias=" + m.VMID, "-o", "CheckHostIP=no",
		"-o", `UserKnownHostsFile="` + filepath.Join(data, "known_hosts") + `"`, "-o", "StrictHostKeyChecking=accept-new"}
	if s.identity != "" {
		args = append(args, "-i", s.identity)
	}
	if s.user != "" {
		args = append(args, "-l", s.user)
	}
	return append(append(args, "--", m.Address), s.command...)
}

// views gives each subscription in question with a client that may look into it.
func (e *env) views(ctx context.Context, s sshSpec) (map[string]*client.ARM, error) {
	views := map[string]*client.ARM{}
	if s.subscription != "" || s.who.Complete() {
		a, err := e.arm(ctx, s.who, s.subscription)
		if err != nil {
			return nil, err
		}
		if s.subscription != "" {
			views[s.subscription] = a
			return views, nil
		}
		list, err := client.List[client.SubscriptionInfo](ctx, a, "/subscriptions", "2022-12-01")
		for _, sub := range list {
			views[sub.SubscriptionID] = a
		}
		return views, err
	}
	o, err := e.operator()
	if err != nil {
		return nil, err
	}
	tenants, err := o.Tenants(ctx)
	if err != nil {
		return nil, err
	}
	for _, t := range tenants {
		for _, sub := range t.Subscriptions {
			if views[sub.SubscriptionID], err = e.arm(ctx, client.Credentials{}, sub.SubscriptionID); err != nil {
				return nil, err
			}
		}
	}
	return views, nil
}
