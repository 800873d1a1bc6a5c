package script

import (
	"encoding/json"

	"github.com/rogpeppe/go-internal/testscript"
)

// setJSON FILE MEMBER VARIABLE… sets environment variables from the members of a JSON object, such as a command's stdout.
func setJSON(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args)%2 != 1 {
		ts.Fatalf("usage: setjson FILE MEMBER VARIABLE…")
	}
	var object map[string]any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &object))
	for i := 1; i < len(args); i += 2 {
		text, ok := object[args[i]].(string)
		if !ok {
			ts.Fatalf("%s has no member %s", args[0], args[i])
		}
		ts.Setenv(args[i+1], text)
	}
}
