package guide

import (
	"regexp"
	"strings"
	"testing"

	"vitrine/test/playbook"
)

func TestFirstWalk(t *testing.T) {
	s := playbook.NewStage(t)
	out := s.Run(playbook.Read(t, "docs/guide/first-walk.md"))
	answer := regexp.MustCompile(`(?m)^Linux \S+ .*\nuid=\d+\(azureuser\).*\nmyVM$`)
	if got := len(answer.FindAllString(out, -1)); got < 2 {
		t.Errorf("the machine answered %d times, want 2 or more (vm ssh and ProxyCommand):\n%s", got, out)
	}
	if !strings.Contains(out, "is not authorized to access linked subscription") {
		t.Error("the request without the publisher's token was not refused as the guide says")
	}
	if left := s.Left(); len(left) > 0 {
		t.Errorf("processes are left after the guide's last command: %v", left)
	}
}
