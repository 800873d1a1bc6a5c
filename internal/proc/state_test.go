package proc

import (
	"os"
	"path/filepath"
	"testing"
)

// Both ways to write a state replace the one before, whole, for the owner's eyes alone, and leave nothing else behind.
func TestWriteState(t *testing.T) {
	for name, write := range map[string]func(string, any) error{"lasting": WriteState, "passing": WritePassing} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "state.json")
			for _, want := range []string{"a long first state", "second"} {
				if err := write(path, want); err != nil {
					t.Fatal(err)
				}
				var got string
				if err := ReadState(path, &got); err != nil || got != want {
					t.Errorf("read %q, want %q: %v", got, want, err)
				}
			}
			if err := write(path, func() {}); err == nil {
				t.Error("what is no JSON was written")
			}
			left, err := os.ReadDir(filepath.Dir(path))
			if err != nil || len(left) != 1 {
				t.Errorf("%d files are left: %v", len(left), err)
			}
			if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
				t.Errorf("mode %v, %v", st.Mode(), err)
			}
		})
	}
}
