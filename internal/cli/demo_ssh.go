package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"vitrine/internal/client"
)

const demoQuestion = "uname -a; id; hostname"

// enter waits until the guest answers, makes sure that it is the guest who answers, and runs a command in it.
func (d *demo) enter(ctx context.Context) error {
	fmt.Fprintln(d.say, "\n# The machine boots.")
	var keys []ssh.PublicKey
	err := d.timed("boot, until SSH answers", func() (err error) {
		ctx, cancel := context.WithTimeout(ctx, d.limit)
		defer cancel()
		if keys, err = d.guestKeys(ctx); err != nil {
			return err
		}
		return d.awaitSSH(ctx, keys)
	})
	if err != nil {
		return fmt.Errorf("the machine does not answer by SSH: %w\n%s", err, d.serialTail())
	}
	if err := os.WriteFile(d.at("known_hosts"), client.KnownHosts(d.machine.PublicIP, keys), 0o600); err != nil {
		return err
	}
	fmt.Fprintln(d.say, "# Its host keys, as it showed them on its serial console, are in a private known_hosts: nobody else's answer is believed.")
	options := []string{"ssh", "-F none", "-i " + quote(d.at("home/.ssh/id_rsa")), "-o IdentitiesOnly=yes", "-o BatchMode=yes", "-o StrictHostKeyChecking=yes",
		"-o UserKnownHostsFile=" + quote(d.at("known_hosts"))}
	problem := d.probeAddress(ctx, keys)
	if d.direct = problem == nil; !d.direct {
		fmt.Fprintf(d.say, "# %s: %s.\n# The way by 'vitrine vm connect' leads to the machine all the same.\n", net.JoinHostPort(d.machine.PublicIP, "22"), problem)
		options = append(options, "-o ProxyCommand='vitrine vm connect %h %p'")
	}
	command := strings.Join(options, " ") + " azureuser@" + d.machine.PublicIP + " '" + demoQuestion + "'"
	return d.timed("ssh", func() error {
		out, err := d.shell(ctx, command)
		d.answer = string(out)
		return err
	})
}

// vmID asks ARM for the ID by which the runtime knows the machine.
func (d *demo) vmID(ctx context.Context) (string, error) {
	a, err := d.second()
	if err != nil {
		return "", err
	}
	var doc client.MachineDoc
	err = a.Get(ctx, d.machine.ID, client.VersionMachines, &doc)
	return doc.Properties.VMID, err
}

// guestKeys waits for the host keys on the serial console.
func (d *demo) guestKeys(ctx context.Context) (keys []ssh.PublicKey, err error) {
	id, err := d.vmID(ctx)
	if err != nil {
		return nil, err
	}
	o := client.NewOperator(d.server.Operator)
	err = until(ctx, d.limit, 200*time.Millisecond, func() (bool, error) {
		d.serial, err = o.SerialLog(ctx, id)
		keys = client.HostKeys(d.serial)
		return len(keys) > 0, err
	})
	return keys, err
}

func (d *demo) serialTail() string {
	return "The end of its serial console:\n" + d.serial[max(0, len(d.serial)-2000):]
}

// awaitSSH waits until the guest's SSH server answers by the operator's way.
func (d *demo) awaitSSH(ctx context.Context, keys []ssh.PublicKey) error {
	o := client.NewOperator(d.server.Operator)
	var last error
	err := until(ctx, d.limit, 300*time.Millisecond, func() (bool, error) {
		var conn net.Conn
		if conn, last = o.Connect(ctx, d.machine.PublicIP, "22"); last != nil {
			return false, nil
		}
		last = shows(conn, keys, 20*time.Second) // a guest under TCG computes for seconds
		return last == nil, nil
	})
	return errors.Join(err, last)
}

// probeAddress says why the public address itself does not lead to the guest; nil when it does.
func (d *demo) probeAddress(ctx context.Context, keys []ssh.PublicKey) error {
	others := listeners(22)
	limit := 20 * time.Second
	if len(others) > 0 {
		limit = 3 * time.Second // whoever it is need not speak SSH at all
	}
	dialer := net.Dialer{Timeout: limit}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(d.machine.PublicIP, "22"))
	if err == nil {
		err = shows(conn, keys, limit)
	}
	if err == nil {
		return nil
	}
	if len(others) > 0 {
		return fmt.Errorf("the port could not be bound, since %s is there first", strings.Join(others, " and "))
	}
	return err
}

var errShown = errors.New("the key was shown")

// shows does an SSH handshake as far as the host key, and closes the connection. Another key than the guest's is an error.
func shows(conn net.Conn, keys []ssh.PublicKey, limit time.Duration) error {
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	known := false
	_, _, _, err := ssh.NewClientConn(conn, "guest", &ssh.ClientConfig{User: "nobody", HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
		for _, k := range keys {
			known = known || bytes.Equal(k.Marshal(), key.Marshal())
		}
		return errShown
	}})
	switch {
	case known:
		return nil
	case errors.Is(err, errShown):
		return errors.New("another SSH server than the machine's answers there")
	case err == nil:
		return errors.New("the SSH server showed no key")
	}
	return err
}
