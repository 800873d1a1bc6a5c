package deployments_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/store"
)

// nowhere looks for secrets in every document, in the log and in the given answers.
func (w *world) nowhere(secrets []string, answers ...string) {
	w.Helper()
	texts := map[string]string{"the log": w.Logged(), "an answer": strings.Join(answers, "\n")}
	w.Must(w.Store.View(w.Context(), func(tx store.Tx) error {
		docs, err := tx.List(store.Query{})
		for _, d := range docs {
			texts[d.Key] = string(d.Body) + strings.Join(d.Terms, " ")
		}
		return err
	}))
	for where, text := range texts {
		for _, secret := range secrets {
			if strings.Contains(strings.ToLower(text), strings.ToLower(secret)) {
				w.Errorf("%s has %s: %s", where, secret, text)
			}
		}
	}
}

// answered is the text of an answer or of a refusal.
func (w *world) answered(method, path, body string) string {
	w.Helper()
	r, err := w.Control.Do(w.Context(), control.Request{Method: method, Path: path, Query: url.Values{"api-version": {"2022-09-01"}},
		Header: http.Header{}, Body: []byte(body), Caller: inA, Base: "https://management.azure.com"})
	if err != nil {
		e, ok := err.(*arm.Error)
		if !ok {
			w.Fatalf("%s %s: %v", method, path, err)
		}
		_, _, raw := e.Render()
		return string(raw) + err.Error()
	}
	return string(r.Body)
}

// An author may put a secure parameter where an error repeats it: no error tells it on.
func TestErrorsTellNoSecrets(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", 8)
	for name, secret := range map[string]string{"plain": "Tiger#4711", "spaces": "Ti ger 47 11", "quoted": `Ti"ger<47>\11`, "long": long, "short of ASCII": "Pässwörd-ÄÖ"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			raw, _ := json.Marshal(secret)
			inner := string(raw[1 : len(raw)-1])
			secrets := []string{secret, inner, long[:70]}
			parameters := fmt.Sprintf(`{"pw":{"value":%s},"o":{"value":{"x":[%s]}}}`, raw, raw)
			declared := `"parameters":{"pw":{"type":"securestring"},"o":{"type":"secureObject"}},`
			for i, x := range []struct{ resource, code string }{
				{`{"type":"Test.Fake/sync","apiVersion":"2020-01-01","name":"a","location":"[parameters('pw')]"}`, "LocationNotAvailableForResourceType"},
				{`{"type":"Test.Fake/sync","apiVersion":"2020-01-01","name":"a","location":"[concat('x', parameters('o').x[0])]"}`, "LocationNotAvailableForResourceType"},
				{`{"type":"Test.Fake/none","apiVersion":"2020-01-01","name":"[concat('n', parameters('pw'))]","location":"[parameters('pw')]"}`, "NoRegisteredProviderFound"},
				{`{"type":"[concat('Nobody.', parameters('pw'), '/x')]","apiVersion":"2020-01-01","name":"a"}`, ""},
				{`{"type":"Test.Fake/sync","apiVersion":"2020-01-01","name":"a","location":"eastus","tags":"[json(parameters('pw'))]"}`, ""},
				{`{"type":"Test.Fake/sync","apiVersion":"2020-01-01","name":"a","location":"eastus","dependsOn":["[parameters('pw')]"]}`, ""},
			} {
				at := fmt.Sprintf("%sd%d", deployed, i)
				body := request(document(declared+list(x.resource)), parameters)
				answers := []string{w.answered("POST", at+"/validate", body), w.answered("PUT", at, body)}
				if !strings.Contains(answers[1], `"error"`) {
					d := map[string]any{}
					w.Until("the end", func() bool {
						d = w.Get(inA, at)
						state := fmt.Sprint(d["properties"].(map[string]any)["provisioningState"])
						return state == "Failed" || state == "Succeeded"
					})
					operations := w.answered("GET", at+"/operations", "")
					answers = append(answers, w.answered("GET", at, ""), operations)
					if x.code != "" && (!strings.Contains(operations, x.code) || !strings.Contains(operations, "***")) {
						t.Errorf("%d: %s", i, operations)
					}
				} else if x.code != "" && (!strings.Contains(answers[1], x.code) || !strings.Contains(answers[1], "***")) {
					t.Errorf("%d: %s", i, answers[1])
				}
				w.nowhere(secrets, answers...)
			}
		})
	}
}

// What a list function answers is a secret as well.
func TestErrorsTellNoKeys(t *testing.T) {
	w := newWorld(t)
	status := w.Deploy(inA, "d", document(list(resource("Test.Fake/sync", "a", ""),
		`{"type":"Test.Fake/linked","apiVersion":"2020-01-01","name":"b","dependsOn":["a"],"location":"eastus","properties":{"link":"[concat('/subscriptions/', listKeys('`+things+`sync/a', '2020-01-01').key, '/resourceGroups/g/providers/Test.Fake/sync/x')]"}}`)))
	if !strings.Contains(fmt.Sprint(status), "'***'") || at(status, "status") != "Failed" {
		t.Errorf("%v", status)
	}
	w.nowhere([]string{"key of a"}, fmt.Sprint(status), w.answered("GET", deployed+"d/operations", ""))
}
