package guide

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"vitrine/test/playbook"
)

// TestWhatTestsSay feeds scripts/test.jq with what go test -json tells of a test that failed, one that was left out, one that passed and
// one in which the process ended: only of the one that passed may nothing be seen.
func TestWhatTestsSay(t *testing.T) {
	_, err := exec.LookPath("jq")
	playbook.Need(t, err == nil, "jq is not installed")
	c := exec.Command("jq", "-nrj", "-f", filepath.Join(playbook.Root(t), "scripts", "test.jq"))
	c.Stdin = strings.NewReader(`
{"Action":"output","Package":"p","Test":"TestBad","Output":"=== RUN TestBad\n"}
{"Action":"output","Package":"p","Test":"TestBad","Output":"bad said\n"}
{"Action":"fail","Package":"p","Test":"TestBad"}
{"Action":"output","Package":"p","Test":"TestLeft","Output":"left said\n"}
{"Action":"skip","Package":"p","Test":"TestLeft"}
{"Action":"output","Package":"p","Test":"TestGood","Output":"good said\n"}
{"Action":"pass","Package":"p","Test":"TestGood"}
{"Action":"output","Package":"p","Test":"TestHung","Output":"panic: test timed out\n"}
{"Action":"output","Package":"pp","Test":"TestElse","Output":"else said\n"}
{"Action":"output","Package":"p","Output":"FAIL p\n"}
{"Action":"fail","Package":"p"}
{"Action":"pass","Package":"pp","Test":"TestElse"}
{"Action":"pass","Package":"pp"}
`)
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if want := "bad said\nleft said\nFAIL p\npanic: test timed out\n"; string(out) != want {
		t.Errorf("it says %q, want %q", out, want)
	}
}
