package vitrine

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"
)

// layers places every package of internal/. A package imports what is lower. Within layer 2 the fraction is the step.
var layers = map[string]float64{
	"pattern": -0.1, "arm": 0, "arm/armjson": 0.1, "digest": 0, "web": 0, "seal": 0, "proc": 0, "proc/sandbox": 0.1,
	"store": 1, "store/memstore": 1.1, "store/sqlstore": 1.1, "store/storetest": 1.2, "store/storetest/pgtest": 1.1,
	"blob": 1, "blob/memblob": 1.1, "blob/fileblob": 1.1, "blob/blobtest": 1.2, "blob/s3blob": 1.1, "blob/s3blob/s3test": 1.2,
	"vm": 1, "vm/seed": 1, "vm/fakevm": 1.1, "vm/qemu": 1.1, "vm/netstack": 1.1, "vm/vmtest": 1.2,
	"quota": 2, "audit": 2.1, "directory": 2.1, "directory/rule": 2, "directory/record": 2.01, "directory/guess": 2.02, "directory/consent": 2.15, "directory/credential": 2.02, "directory/registration": 2.02, "operation": 2.1, "operation/operationtest": 2.15, "image": 2.1, "image/format": 2, "image/sas": 2, "template": 2.1,
	"template/tree": 2, "template/builtin": 2.02, "template/expr": 2.05, "token": 2.2, "authn": 2.3, "rbac": 2.4, "rbac/condition": 2,
	"image/nbd": 2, "image/format/convert": 2.05,
	"image/chunk": 2, "image/packs": 2.05, "image/pace": 2, "image/lazy": 2.05, "image/recent": 2.05, "image/lazy/host": 2.15, "image/extent": 2.02, "image/keyring": 2.05, "image/upload": 2.05, "image/scrub": 2.15, "image/usage": 2.15, "cli/imagestore": 6.05,
	"control": 3, "control/throttle": 2.9, "control/paging": 2.9, "control/status": 2.9,
	"image/unpack":       2.05,
	"provider/resources": 4, "provider/authorization": 4, "provider/gallery": 4, "provider/gallery/catalog": 3.8, "provider/gallery/publish": 3.95, "provider/gallery/application": 3.95, "provider/disk": 4,
	"provider/insights": 4, "provider/storage": 4, "provider/storage/content": 3.9, "provider/management": 4, "provider/sharing": 4, "provider/machine": 4, "provider/machine/size": 3.9, "provider/machine/seedfile": 3.9, "provider/network": 4, "client": 4, "client/source": 3.9, "client/pages": 3.9,
	"image/qcow2": 2.15, "image/qcow2/qcow2test": 2.2, "provider/machine/osprofile": 3.9, "provider/source": 3.9, "provider/managed": 4, "provider/restore": 4,
	"graph": 5, "graph/rest": 4.7, "graph/odata": 4.4, "graph/entity": 4.5, "graph/wire": 4.5, "login/aadsts": 4.5, "login/page": 4.5, "login/limit": 4.5, "login/redirect": 4.5, "login/scope": 4.55, "login/grant": 4.6, "login": 5, "dataplane": 5, "dataplane/wire": 4.5, "dataplane/account": 5, "edge": 5, "operator": 5,
	"provider/deployments": 4, "provider/deployments/whatif": 3.9, "provider/deployments/veil": 3.9, "provider/deployments/link": 3.9, "provider/deployments/lineage": 3.9, "provider/deployments/history": 3.9, "provider/deployments/told": 3.9, "provider/deployments/bounds": 3.9,
	"provider/planetest":  4.1,
	"provider/graphquery": 4, "provider/graphquery/kql": 3.9, "provider/machine/imageref": 3.9, "provider/gallery/share": 3.9, "provider/gallery/foreign": 3.9,
	"app": 6, "cli/progress": 6.05, "cli/access": 6.05, "cli/activity": 6.05, "cli": 6.1,
	"cli/image": 6.07,
}

// drivers are named in app alone (and in cli, for the hidden commands that are their processes).
var drivers = []string{"store/sqlstore", "blob/fileblob", "blob/s3blob", "vm/qemu", "vm/netstack"}

// keepers are the only rooms for what is dangerous or heavy.
var keepers = map[string][]string{
	"net/http":          {"web", "control", "login", "graph", "graph/rest", "graph/wire", "dataplane", "dataplane/wire", "dataplane/account", "edge", "operator", "client", "app", "cli", "provider/resources", "provider/deployments", "client/source", "client/pages", "blob/s3blob"},
	"database/sql":      {"store/sqlstore"},
	"os/exec":           {"proc", "cli"},
	"github.com/jackc/": {"store/sqlstore"},
	"github.com/minio/": {"blob/s3blob"},
}

// Gates of the budgets; docs/architecture.md says what is aimed at.
const (
	maxFileLines, maxFuncLines, maxPackageLines = 500, 70, 2500
	maxFiles, maxParameters                     = 20, 6
)

// shared are the package variables that change, each with the reason why it may.
var shared = map[string]string{
	"arm/armjson.cache": "memo of a pure function of a type",
}

type pkg struct {
	path  string // below internal/, or the import path's tail elsewhere
	files map[string]*ast.File
	fset  *token.FileSet
	lines map[string]int
}

func load(t *testing.T) []*pkg {
	t.Helper()
	found := map[string]*pkg{}
	for _, root := range []string{"internal", "cmd"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			dir := filepath.ToSlash(filepath.Dir(path))
			p := found[dir]
			if p == nil {
				p = &pkg{path: strings.TrimPrefix(dir, "internal/"), files: map[string]*ast.File{}, fset: token.NewFileSet(), lines: map[string]int{}}
				found[dir] = p
			}
			src, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			p.lines[path] = bytes.Count(src, []byte("\n"))
			p.files[path], err = parser.ParseFile(p.fset, path, src, parser.ParseComments)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	var list []*pkg
	for _, p := range found {
		list = append(list, p)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].path < list[j].path })
	return list
}

func isTest(path string) bool {
	return slices.ContainsFunc(strings.Split(path, "/"), func(s string) bool { return strings.HasSuffix(s, "test") })
}

func TestImports(t *testing.T) {
	for _, p := range load(t) {
		level, placed := layers[p.path]
		if !placed && !strings.HasPrefix(p.path, "cmd/") {
			t.Errorf("package %s has no layer; say in arch_test.go and docs/architecture.md where it stands", p.path)
			continue
		}
		for name, f := range p.files {
			for _, spec := range f.Imports {
				path := strings.Trim(spec.Path.Value, `"`)
				if inner, ok := strings.CutPrefix(path, "vitrine/internal/"); ok && !strings.HasPrefix(p.path, "cmd/") {
					checkLayer(t, name, p.path, level, inner)
				}
				checkKeeper(t, name, p.path, path)
			}
		}
	}
}

func checkLayer(t *testing.T, file, from string, level float64, to string) {
	t.Helper()
	if !isTest(from) && isTest(to) {
		t.Errorf("%s: only tests import %s", file, to)
	}
	if lower, ok := layers[to]; !ok || lower >= level {
		t.Errorf("%s: %s (layer %v) must not import %s (layer %v): imports go down only, siblings do not meet", file, from, level, to, layers[to])
	}
	if slices.Contains(drivers, to) && from != "app" && from != "cli" && !strings.HasPrefix(from, to) {
		t.Errorf("%s: the driver %s is named in app alone", file, to)
	}
}

func checkKeeper(t *testing.T, file, from, path string) {
	t.Helper()
	for what, rooms := range keepers {
		if (path == what || strings.HasSuffix(what, "/") && strings.HasPrefix(path, what)) && !slices.Contains(rooms, from) && !isTest(from) {
			t.Errorf("%s: %s belongs in %v", file, path, rooms)
		}
	}
}

func TestBudgets(t *testing.T) {
	for _, p := range load(t) {
		total := 0
		for name, n := range p.lines {
			total += n
			if n > maxFileLines {
				t.Errorf("%s has %d lines; the gate is %d", name, n, maxFileLines)
			}
		}
		if total > maxPackageLines {
			t.Errorf("package %s has %d lines; the gate is %d", p.path, total, maxPackageLines)
		}
		if len(p.files) > maxFiles {
			t.Errorf("package %s has %d files; the gate is %d", p.path, len(p.files), maxFiles)
		}
		for _, f := range p.files {
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok {
					checkFunc(t, p, fn)
				}
			}
		}
	}
}

func checkFunc(t *testing.T, p *pkg, fn *ast.FuncDecl) {
	t.Helper()
	from, to := p.fset.Position(fn.Pos()), p.fset.Position(fn.End())
	if n := to.Line - from.Line + 1; n > maxFuncLines {
		t.Errorf("%s: %s has %d lines; the gate is %d", from, fn.Name.Name, n, maxFuncLines)
	}
	if n := fn.Type.Params.NumFields(); n > maxParameters {
		t.Errorf("%s: %s has %d parameters; the gate is %d, then a struct", from, fn.Name.Name, n, maxParameters)
	}
	if fn.Name.Name == "init" && fn.Recv == nil {
		t.Errorf("%s: init() hides when it runs", from)
	}
}

func TestComments(t *testing.T) {
	for _, p := range load(t) {
		comments := 0
		for _, f := range p.files {
			if f.Doc != nil {
				comments++
			}
			for _, d := range f.Decls {
				checkExported(t, p, d)
			}
		}
		if comments != 1 {
			t.Errorf("package %s has %d package comments; it needs exactly one", p.path, comments)
		}
		switch name := filepath.Base(p.path); name {
		case "util", "utils", "common", "helper", "helpers", "base", "manager", "types", "models":
			t.Errorf("package %s: %q says nothing", p.path, name)
		}
	}
}

func checkExported(t *testing.T, p *pkg, d ast.Decl) {
	t.Helper()
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && d.Doc == nil && (d.Recv == nil || exportedReceiver(d.Recv)) && !obvious(d) {
			t.Errorf("%s: %s has no comment", p.fset.Position(d.Pos()), d.Name.Name)
		}
	case *ast.GenDecl:
		for _, s := range d.Specs {
			if ts, ok := s.(*ast.TypeSpec); ok && ts.Name.IsExported() && d.Doc == nil && ts.Doc == nil && ts.Comment == nil {
				t.Errorf("%s: type %s has no comment", p.fset.Position(ts.Pos()), ts.Name.Name)
			}
		}
	}
}

// obvious methods are those whose name is their contract.
func obvious(d *ast.FuncDecl) bool {
	return d.Recv != nil && slices.Contains([]string{"Error", "Unwrap", "String", "Close", "Read", "Write", "ReadAt", "WriteAt", "Terms", "Len", "Less", "Swap", "Is"}, d.Name.Name)
}

func exportedReceiver(fields *ast.FieldList) bool {
	typ := fields.List[0].Type
	for {
		switch x := typ.(type) {
		case *ast.StarExpr:
			typ = x.X
		case *ast.IndexExpr:
			typ = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return false
		}
	}
}

// TestNoMutableState finds package variables that some function assigns to.
func TestNoMutableState(t *testing.T) {
	for _, p := range load(t) {
		vars, tops := map[string]bool{}, map[token.Pos]bool{}
		for _, f := range p.files {
			for _, d := range f.Decls {
				if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.VAR {
					for _, s := range g.Specs {
						for _, n := range s.(*ast.ValueSpec).Names {
							vars[n.Name], tops[n.Pos()] = true, true
							if sel, ok := s.(*ast.ValueSpec).Type.(*ast.SelectorExpr); ok && fmt.Sprint(sel.X) == "sync" && shared[p.path+"."+n.Name] == "" {
								t.Errorf("%s: %s is shared state", p.fset.Position(n.Pos()), n.Name)
							}
						}
					}
				}
			}
		}
		for _, f := range p.files {
			ast.Inspect(f, func(n ast.Node) bool {
				if a, ok := n.(*ast.AssignStmt); ok && a.Tok != token.DEFINE {
					for _, left := range a.Lhs {
						if name := packageVar(left, vars, tops); name != "" {
							t.Errorf("%s: assigns to the package variable %s", p.fset.Position(a.Pos()), name)
						}
					}
				}
				return true
			})
		}
	}
}

// packageVar names the package variable that an expression assigns to or into, or nothing.
func packageVar(e ast.Expr, vars map[string]bool, tops map[token.Pos]bool) string {
	for {
		switch x := e.(type) {
		case *ast.IndexExpr:
			e = x.X
		case *ast.SelectorExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.Ident:
			if x.Name == "_" || !vars[x.Name] || x.Obj != nil && !tops[x.Obj.Pos()] { // another variable of that name
				return ""
			}
			return x.Name
		default:
			return ""
		}
	}
}
