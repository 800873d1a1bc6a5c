package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// postgres is Debian's, on a Unix socket alone.
type postgres struct {
	*process
	dir string
}

// postgresBin is the folder of its server programs.
func postgresBin() (string, error) {
	list, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err == nil && len(list) == 0 {
		err = errors.New("PostgreSQL is missing (package postgresql)")
	}
	if err != nil {
		return "", err
	}
	return filepath.Dir(list[len(list)-1]), nil
}

func startPostgres(ctx context.Context) (_ *postgres, err error) {
	bin, err := postgresBin()
	if err != nil {
		return nil, err
	}
	p := &postgres{}
	if p.dir, err = os.MkdirTemp("", "pg"); err != nil { // a socket's path is short, and another user must get in
		return nil, err
	}
	defer func() {
		if err != nil {
			p.end()
		}
	}()
	who, err := unprivileged(p.dir)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(p.dir, "data")
	init := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "-D", data, "-U", "vitrine", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-instructions")
	init.Dir, init.SysProcAttr = p.dir, &syscall.SysProcAttr{Credential: who}
	if out, err := init.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	if p.process, err = start([]string{filepath.Join(bin, "postgres"), "-D", data, "-k", p.dir, "-c", "listen_addresses="}, nil, who); err != nil {
		return nil, err
	}
	_, err = p.await(ctx, func() bool {
		return exec.CommandContext(ctx, filepath.Join(bin, "pg_isready"), "-q", "-h", p.dir).Run() == nil
	})
	return p, err
}

func (p *postgres) dsn() string { return "host=" + p.dir + " user=vitrine dbname=postgres" }

func (p *postgres) end() {
	p.stop()
	os.RemoveAll(p.dir)
}

// unprivileged gives dir to the user that PostgreSQL runs as: it refuses to be root. Nil is whoever we are.
func unprivileged(dir string) (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, err
	}
	uid, errU := strconv.ParseUint(u.Uid, 10, 32)
	gid, errG := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, errors.Join(errU, errG, os.Chown(dir, int(uid), int(gid)))
}
