package attack

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"testing"
)

// TestConstantTime holds the functions that compare a secret to a comparison whose time tells nothing. Time itself is not measured: on a
// busy machine it would prove neither.
func TestConstantTime(t *testing.T) {
	for _, at := range []struct{ what, file, function string }{
		{"client secret", "directory/credential/secret.go", "matches"},
		{"password", "directory/credential/password.go", "Matches"},
		{"PKCE verifier", "login/grant/code.go", "checkVerifier"},
		{"form token", "login/browser.go", "posted"},
		{"signed URL", "image/sas/sas.go", "Verify"},
		{"sealed value's place", "seal/seal.go", "Open"},
		{"activity log's seal", "audit/chain.go", ""},
	} {
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "..", "internal", filepath.FromSlash(at.file)), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		found := false
		ast.Inspect(f, func(n ast.Node) bool {
			if fn, ok := n.(*ast.FuncDecl); ok && at.function != "" && fn.Name.Name != at.function {
				return false
			}
			if s, ok := n.(*ast.SelectorExpr); ok {
				found = found || s.Sel.Name == "ConstantTimeCompare" || s.Sel.Name == "Equal" && isName(s.X, "hmac")
			}
			return true
		})
		if !found {
			t.Errorf("%s: %s of internal/%s compares without crypto/subtle or hmac.Equal", at.what, at.function, at.file)
		}
	}
}

func isName(e ast.Expr, name string) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == name
}
