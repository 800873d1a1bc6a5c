package gallery_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"vitrine/internal/arm"
)

// whole are documents that say everything; parts of them are replaced by what nobody expects.
var whole = map[string]string{
	galleryA: `{"location":"eastus","tags":{"a":"b"},"identity":{"type":"None"},"properties":{"description":"d","identifier":{"uniqueName":"x"},
		"softDeletePolicy":{"isSoftDeleteEnabled":true,"retentionPeriodInDays":3,"gracePeriodInDays":1}}}`,
	galleryA + "/images/h": `{"location":"eastus","properties":{"osType":"Linux","osState":"Generalized","hyperVGeneration":"V2","architecture":"x64","identifier":{"publisher":"p","offer":"o","sku":"h"},
		"endOfLifeDate":"2099-01-01","recommended":{"vCPUs":{"min":1,"max":2},"memory":{"min":1}},"disallowed":{"diskTypes":["Standard_LRS"]},"purchasePlan":{"name":"n"},
		"features":[{"name":"SecurityType","value":"Standard","startsAtVersion":"1.0.0"}],"allowUpdateImage":true}}`,
	definitionA + "/versions/8.0.0": `{"location":"eastus","properties":{"publishingProfile":{"targetRegions":[{"name":"eastus","regionalReplicaCount":1,"storageAccountType":"Standard_LRS","excludeFromLatest":false,
		"additionalReplicaSets":[{"regionalReplicaCount":1,"storageAccountType":"Premium_LRS"}],"encryption":{}}],"replicaCount":1,"endOfLifeDate":"2099-01-01","replicationMode":"Full","storageAccountType":"Standard_LRS",
		"source":{"managedImage":{"id":"` + imageA + `"}},"targetExtendedLocations":[]},
		"storageProfile":{"source":{"id":"` + versionA + `"},"osDiskImage":{"hostCaching":"None","source":{"id":"` + diskA + `"}},"dataDiskImages":[{"lun":1,"hostCaching":"None","source":{"storageAccountId":"` + acctA + `","uri":"` + vhdURI + `"}}]},
		"safetyProfile":{"allowDeletionOfReplicatedLocations":true,"blockDeletionBeforeEndOfLife":false,"reportedForPolicyViolation":true},"restore":false,
		"securityProfile":{"uefiSettings":{"signatureTemplateNames":["NoSignatureTemplate"],"additionalSignatures":{"pk":{"type":"x509","value":["AAAA"]},"kek":[],"db":[{"type":"sha256","value":["AAAA"]}],"dbx":null}}}}}`,
	appA: `{"name":"app","location":"eastus","tags":{"a":"b"},"properties":{"supportedOSType":"Linux","description":"d","eula":"e","privacyStatementUri":"p","releaseNoteUri":"r","endOfLifeDate":"2099-01-01",
		"customActions":[{"name":"a","script":"s","description":"d","parameters":[{"name":"p","type":"String","required":true,"defaultValue":"v","description":"d"}]}]}}`,
	appVerA: `{"location":"eastus","properties":{"publishingProfile":{"source":{"mediaLink":"` + zipURI + signature + `","defaultConfigurationLink":"` + confURI + `"},"manageActions":{"install":"i","remove":"r","update":"u"},
		"settings":{"packageFileName":"f","configFileName":"c","scriptBehaviorAfterReboot":"None"},"advancedSettings":{"k":"v"},"enableHealthCheck":true,"customActions":[{"name":"a","script":"s","parameters":[{"name":"p","type":"LogOutputBlob"}]}],
		"targetRegions":[{"name":"eastus","regionalReplicaCount":1,"storageAccountType":"Standard_LRS","excludeFromLatest":false,"additionalReplicaSets":[],"encryption":{}}],"replicaCount":1,"endOfLifeDate":"2099-01-01",
		"storageAccountType":"Standard_LRS","storageAccountStrategy":"","replicationMode":"Full","targetExtendedLocations":[]},"safetyProfile":{"allowDeletionOfReplicatedLocations":true}}}`,
}

// odd are values that stand where others belong.
func odd(r *rapid.T) any {
	return rapid.SampledFrom([]any{nil, true, -1, 1e300, 2147483648, "", "x", strings.Repeat("a", 5000), "\x00", "/subscriptions/x", vmA, snapA, community, []any{}, []any{nil}, []any{1, "x", nil, []any{}},
		map[string]any{}, map[string]any{"id": nil}, map[string]any{"": 1}, "eastus", "Linux", []any{map[string]any{"name": "eastus"}, map[string]any{"name": "EAST US"}}}).Draw(r, "odd")
}

// twist replaces, removes or doubles some parts of a document.
func twist(r *rapid.T, v any) any {
	if rapid.IntRange(0, 30).Draw(r, "here") == 0 {
		return odd(r)
	}
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for name, inner := range v {
			if rapid.IntRange(0, 12).Draw(r, "drop") != 0 {
				out[name] = twist(r, inner)
			}
		}
		return out
	case []any:
		out := []any{}
		for _, inner := range v {
			out = append(out, twist(r, inner))
			if rapid.IntRange(0, 9).Draw(r, "double") == 0 {
				out = append(out, twist(r, inner))
			}
		}
		return out
	}
	return v
}

// TestHostileBodies: whatever a body says, the answer is a success or an error of Azure's, never a fault of ours; and what is refused
// leaves no pin.
func TestHostileBodies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.shop()
	w.stock()
	w.done(inA, "PUT", versionA, version(""))
	w.shelf()
	rapid.Check(t, func(r *rapid.T) {
		path := rapid.SampledFrom([]string{galleryA, galleryA + "/images/h", definitionA + "/versions/8.0.0", versionA, definitionA, appA, appVerA}).Draw(r, "path")
		text := whole[path]
		switch path {
		case versionA:
			text = whole[definitionA+"/versions/8.0.0"]
		case definitionA:
			text = whole[galleryA+"/images/h"]
		}
		var v any
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			r.Fatal(err)
		}
		body, err := json.Marshal(twist(r, v))
		if err != nil {
			r.Fatal(err)
		}
		method := rapid.SampledFrom([]string{"PUT", "PATCH"}).Draw(r, "method")
		api := rapid.SampledFrom([]string{"2018-06-01", "2021-10-01", "2024-03-03", "2026-03-03"}).Draw(r, "api-version")
		answer, err := w.do(inA, method, path+"?api-version="+api, string(body))
		if e, ok := errors.AsType[*arm.Error](err); err != nil && (!ok || e.Status >= 500) {
			r.Fatalf("%s %s %s: %v", method, path, body, err)
		}
		if err == nil && answer.Header.Get("Azure-AsyncOperation") != "" {
			w.wait(answer)
		}
		for _, query := range []string{"", "?$expand=ReplicationStatus", "?$expand=UefiSettings&api-version=2018-06-01", "?$select=Permissions"} {
			if _, err := w.do(inA, "GET", path+query, ""); err != nil {
				if e, ok := errors.AsType[*arm.Error](err); !ok || e.Status != 404 {
					r.Fatalf("GET after %s %s: %v", method, body, err)
				}
			}
		}
	})
	for _, path := range []string{definitionA + "/versions/8.0.0", versionA} {
		r, err := w.do(inA, "PATCH", path, `{"properties":{"safetyProfile":{"blockDeletionBeforeEndOfLife":false}}}`)
		if err == nil {
			w.wait(r)
			w.done(inA, "DELETE", path+"?bypassSoftDelete=true", "")
		}
	}
	if r, err := w.do(inA, "DELETE", appVerA, ""); err == nil && r.Status == 202 {
		w.wait(r)
	}
	w.pinned("eastus", 1) // the disk
}

// A body that is full of faults gets an answer of bounded size.
func TestManyFaults(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.shop()
	w.shelf()
	many := func(one string) string { return strings.TrimSuffix(strings.Repeat(one+",", 20000), ",") }
	for _, body := range []string{
		version(`,"publishingProfile":{"targetRegions":[` + many(`{"name":"atlantis"}`) + `]}`),
		version(`,"publishingProfile":{"targetRegions":[{"name":"eastus","additionalReplicaSets":[` + many(`{"regionalReplicaCount":0}`) + `]}]}`),
		fmt.Sprintf(`{"location":"eastus","properties":{"storageProfile":{"osDiskImage":{"source":{"id":%q}},"dataDiskImages":[%s]}}}`, diskA, many(`{"lun":99}`)),
		version(`,"securityProfile":{"uefiSettings":{"additionalSignatures":{"db":[` + many(`{"type":"x509","value":["%"]}`) + `]}}}`),
		version(`,"securityProfile":{"uefiSettings":{"signatureTemplateNames":[` + many(`"x"`) + `]}}`),
		version(`,"publishingProfile":{"targetRegions":[` + many(`{"name":7}`) + `]}`),
	} {
		w.bounded(versionA, body)
	}
	actions := strings.TrimSuffix(strings.Repeat(`{"name":"?","parameters":[`+strings.TrimSuffix(strings.Repeat(`{"name":"p","type":"LogOutputBlob","defaultValue":"x"},`, 99), ",")+`]},`, 99), ",")
	w.bounded(appA, `{"location":"eastus","properties":{"supportedOSType":"Linux","customActions":[`+many(`{"name":"?"}`)+`]}}`)
	w.bounded(appA, `{"location":"eastus","properties":{"supportedOSType":"Linux","customActions":[`+actions+`]}}`)
	w.bounded(appVerA, appVersion(zipURI, `,"customActions":[`+actions+`]`, ""))
	w.bounded(appVerA, appVersion(zipURI, `,"targetRegions":[`+many(`{"name":"atlantis"}`)+`]`, ""))
}

// bounded wants a refusal of bounded size.
func (w *world) bounded(path, body string) {
	w.Helper()
	_, err := w.do(inA, "PUT", path, body)
	e, ok := errors.AsType[*arm.Error](err)
	if !ok {
		w.Fatal(err)
	}
	if raw, err := json.Marshal(e); err != nil || len(raw) > 1<<17 {
		w.Errorf("an answer of %d bytes to %.120s", len(raw), body)
	}
}
