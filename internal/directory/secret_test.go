package directory_test

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"vitrine/internal/directory"
	"vitrine/internal/store"
)

func TestSecrets(t *testing.T) {
	d, _ := newDirectory(t)
	app, _ := mustApp(t, d, mustTenant(t, d, "home"), "")
	other, _ := mustApp(t, d, mustTenant(t, d, "other"), "")
	start := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	end := start.Add(time.Hour)
	text1, s1, err := d.AddSecret(t.Context(), app.AppID, directory.SecretSpec{DisplayName: "one", Start: start, End: end})
	if err != nil {
		t.Fatal(err)
	}
	text2, s2, err := d.AddSecret(t.Context(), app.AppID, directory.SecretSpec{Start: start})
	if err != nil {
		t.Fatal(err)
	}
	if s1.KeyID == s2.KeyID || text1 == text2 || !strings.HasPrefix(text1, s1.Hint) {
		t.Errorf("secrets: %v %v", s1, s2)
	}
	if want := start.Add(365 * 24 * time.Hour); !s2.End.Equal(want) {
		t.Errorf("end by default: %v, want %v", s2.End, want)
	}
	for _, tc := range []struct {
		name, app, text string
		at              time.Time
		key             string
		want            error
	}{
		{"first", app.AppID, text1, start, s1.KeyID, nil},
		{"second", app.AppID, text2, start, s2.KeyID, nil},
		{"last moment", app.AppID, text1, end.Add(-time.Nanosecond), s1.KeyID, nil},
		{"expired", app.AppID, text1, end, "", directory.ErrExpiredSecret},
		{"second outlives the first", app.AppID, text2, end, s2.KeyID, nil},
		{"too early", app.AppID, text1, start.Add(-time.Second), "", directory.ErrWrongSecret},
		{"wrong, and expired", app.AppID, s1.Hint + "x", end, "", directory.ErrWrongSecret},
		{"key ID in place of the secret", app.AppID, s1.KeyID, start, "", directory.ErrWrongSecret},
		{"empty", app.AppID, "", start, "", directory.ErrWrongSecret},
		{"one character more", app.AppID, text1 + "x", start, "", directory.ErrWrongSecret},
		{"huge", app.AppID, strings.Repeat("x", 1<<20), start, "", directory.ErrWrongSecret},
		{"of another application", other.AppID, text1, start, "", directory.ErrWrongSecret},
		{"unknown application", uuid.NewString(), text1, start, "", directory.ErrApplicationNotFound},
	} {
		key, err := d.VerifySecret(t.Context(), tc.app, tc.text, tc.at)
		if key != tc.key || !errors.Is(err, tc.want) {
			t.Errorf("%s: got %q, %v; want %q, %v", tc.name, key, err, tc.key, tc.want)
		}
	}
	if err := d.RemoveSecret(t.Context(), app.AppID, s2.KeyID); err != nil {
		t.Fatal(err)
	}
	if err := d.RemoveSecret(t.Context(), app.AppID, s2.KeyID); !errors.Is(err, directory.ErrSecretNotFound) {
		t.Errorf("removed twice: %v", err)
	}
	if _, err := d.VerifySecret(t.Context(), app.AppID, text2, start); !errors.Is(err, directory.ErrWrongSecret) {
		t.Errorf("a removed secret: %v", err)
	}
}

func TestSecretLimits(t *testing.T) {
	d, _ := newDirectory(t)
	app, _ := mustApp(t, d, mustTenant(t, d, "home"), "")
	now := time.Now()
	if _, _, err := d.AddSecret(t.Context(), app.AppID, directory.SecretSpec{Start: now, End: now}); !errors.Is(err, directory.ErrInvalid) {
		t.Errorf("a secret that never is valid: %v", err)
	}
	for range 20 {
		if _, _, err := d.AddSecret(t.Context(), app.AppID, directory.SecretSpec{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := d.AddSecret(t.Context(), app.AppID, directory.SecretSpec{}); !errors.Is(err, directory.ErrInvalid) {
		t.Errorf("secret 21: %v", err)
	}
}

// The text of a secret is nowhere in the store, the hash prints itself nowhere, and the text suits a shell and az.
func TestSecretTextIsNotKept(t *testing.T) {
	d, st := newDirectory(t)
	app, _ := mustApp(t, d, mustTenant(t, d, "home"), "")
	form := regexp.MustCompile(`^[A-Za-z0-9]{3}8Q~[A-Za-z0-9]{34}$`)
	for range 5 {
		text, s, err := d.AddSecret(t.Context(), app.AppID, directory.SecretSpec{})
		if err != nil {
			t.Fatal(err)
		}
		if !form.MatchString(text) {
			t.Errorf("text of a secret: %q", text)
		}
		stored, err := d.Application(t.Context(), app.AppID)
		if err != nil {
			t.Fatal(err)
		}
		if printed := fmt.Sprintf("%v %+v %v", stored, s, s.Hash); strings.Contains(printed, fmt.Sprintf("%v", s.Hash.Sum)) {
			t.Errorf("printed: %s", printed)
		}
		var all []store.Document
		if err := st.View(t.Context(), func(tx store.Tx) (err error) { all, err = tx.List(store.Query{}); return err }); err != nil {
			t.Fatal(err)
		}
		if len(all) == 0 {
			t.Fatal("the store is empty")
		}
		for _, doc := range all {
			if strings.Contains(string(doc.Body), text[3:]) {
				t.Errorf("document %s holds the secret: %s", doc.Key, doc.Body)
			}
		}
	}
}
