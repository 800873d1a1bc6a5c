package gallery_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"vitrine/internal/operation"
)

// TestInterrupted stops the engine at each look into a bucket while a version is published: another engine finishes
// it, and there are as many pins and objects as ever.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.shop()
	for n := 1; ; n++ {
		w.mu.Lock()
		w.looks, w.crashAt = 0, n
		w.mu.Unlock()
		name := fmt.Sprintf("%s/versions/1.0.%d", definitionA, n)
		r, err := w.do(inA, "PUT", name, version(","+regions("eastus", "westus2")))
		w.must(err)
		crashed := make(chan struct{})
		go func() {
			defer close(crashed)
			w.wait(r)
		}()
		w.restartUntil(crashed)
		if o := w.wait(r); o.Status != operation.Succeeded {
			t.Fatalf("crash at %d: %s %v", n, o.Status, o.Error)
		}
		w.pinned("westus2", 1)
		w.pinned("eastus", 2)
		w.mu.Lock()
		reached := w.looks >= n
		w.crashAt = 0
		w.mu.Unlock()
		w.done(inA, "DELETE", name, "")
		if !reached {
			return
		}
	}
}

// Random valid documents survive PUT, GET, PUT, in each api-version; and what one api-version does not know survives its PUT.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.shop()
	w.stock()
	w.shelf()
	number := 0
	rapid.Check(t, func(r *rapid.T) {
		number++
		api := "?api-version=" + rapid.SampledFrom([]string{"2018-06-01", "2019-12-01", "2020-09-30", "2021-10-01", "2022-03-03", "2023-07-03", "2024-03-03", "2025-03-03", "2026-03-03"}).Draw(r, "api-version")
		gallery := fmt.Sprintf("%s%sgalleries/g%d", groupA, compute, number)
		w.again(r, gallery, api, map[string]any{"location": "eastus", "tags": tags(r), "properties": map[string]any{
			"description": rapid.String().Draw(r, "description"), "x": rapid.Int().Draw(r, "unknown"),
			"softDeletePolicy": map[string]any{"isSoftDeleteEnabled": rapid.Bool().Draw(r, "soft"), "retentionPeriodInDays": rapid.IntRange(1, 365).Draw(r, "retention"), "gracePeriodInDays": rapid.IntRange(0, 365).Draw(r, "grace")}}})
		w.again(r, gallery+"/images/d", api, map[string]any{"location": "westus2", "tags": tags(r), "properties": definitionOf(r)})
		w.again(r, fmt.Sprintf("%s/versions/%d.0.1", definitionA, number), api, map[string]any{"location": "East US", "tags": tags(r), "properties": map[string]any{
			"publishingProfile": publishingOf(r), "storageProfile": storageOf(r), "safetyProfile": map[string]any{"allowDeletionOfReplicatedLocations": rapid.Bool().Draw(r, "allow"), "blockDeletionBeforeEndOfLife": rapid.Bool().Draw(r, "block")}}})
		w.again(r, gallery+"/applications/a", api, map[string]any{"location": "westus2", "tags": tags(r), "properties": applicationOf(r)})
		w.again(r, gallery+"/applications/a/versions/1.0.0", api, map[string]any{"location": "East US", "tags": tags(r), "properties": applicationVersionOf(r)})
	})
}

func definitionOf(r *rapid.T) map[string]any {
	generation := rapid.SampledFrom([]string{"V1", "v2"}).Draw(r, "generation")
	props := map[string]any{"osType": "linux", "osState": rapid.SampledFrom([]string{"Generalized", "generalized", "SPECIALIZED"}).Draw(r, "state"),
		"hyperVGeneration": generation, "identifier": map[string]any{"publisher": name(r, 128), "offer": name(r, 64), "sku": name(r, 64)},
		"eula": rapid.StringN(0, 20, 80).Draw(r, "eula"), "endOfLifeDate": "2099-01-01T12:59:59Z", "disallowed": map[string]any{}, "allowUpdateImage": rapid.Bool().Draw(r, "allow"),
		"purchasePlan": map[string]any{"name": name(r, 20), "publisher": name(r, 20), "product": name(r, 20)}, "privacyStatementUri": "https://example.com/" + name(r, 10)}
	if rapid.Bool().Draw(r, "disallows") {
		props["disallowed"] = map[string]any{"diskTypes": []string{"Standard_LRS"}}
	}
	low := rapid.IntRange(1, 64).Draw(r, "min")
	props["recommended"] = map[string]any{"vCPUs": map[string]any{"min": low, "max": low + rapid.IntRange(0, 9).Draw(r, "more")}, "memory": map[string]any{"min": low}}
	if generation == "v2" {
		props["architecture"] = rapid.SampledFrom([]string{"arm64", "X64"}).Draw(r, "architecture")
		props["features"] = []any{map[string]any{"name": "SecurityType", "value": "TrustedLaunchSupported"}, map[string]any{"name": "mine", "value": rapid.String().Draw(r, "feature")}}
	}
	return props
}

func publishingOf(r *rapid.T) map[string]any {
	regions := []any{}
	for _, region := range []string{"east US", "westus2", "North Europe"} {
		if region != "east US" && !rapid.Bool().Draw(r, region) {
			continue
		}
		t := map[string]any{"name": region}
		if rapid.Bool().Draw(r, "says") {
			t["storageAccountType"], t["regionalReplicaCount"], t["excludeFromLatest"] = "premium_lrs", rapid.IntRange(1, 20).Draw(r, "count"), rapid.Bool().Draw(r, "excluded")
			t["additionalReplicaSets"] = []any{map[string]any{"storageAccountType": "premiumv2_lrs"}}
		}
		regions = append(regions, t)
	}
	p := map[string]any{"replicaCount": rapid.IntRange(1, 20).Draw(r, "replicas"), "excludeFromLatest": rapid.Bool().Draw(r, "exclude"), "targetRegions": regions}
	switch rapid.IntRange(0, 2).Draw(r, "kind") {
	case 0:
		p["storageAccountType"] = "standard_zrs"
	case 1:
		p["storageAccountStrategy"] = "defaultstandard_lrs"
	}
	return p
}

func applicationOf(r *rapid.T) map[string]any {
	props := map[string]any{"supportedOSType": rapid.SampledFrom([]string{"linux", "WINDOWS"}).Draw(r, "os"), "description": rapid.String().Draw(r, "description"),
		"eula": rapid.String().Draw(r, "eula"), "releaseNoteUri": "https://example.com/" + name(r, 10), "endOfLifeDate": "2099-01-01T12:59:59Z", "x": rapid.Int().Draw(r, "unknown")}
	if rapid.Bool().Draw(r, "custom") {
		props["customActions"] = actionsOf(r)
	}
	return props
}

func actionsOf(r *rapid.T) []any {
	return []any{map[string]any{"name": "act", "script": name(r, 100), "description": rapid.String().Draw(r, "description"), "parameters": []any{
		map[string]any{"name": "p", "type": "string", "defaultValue": rapid.String().Draw(r, "value"), "required": rapid.Bool().Draw(r, "required")},
		map[string]any{"name": "q", "type": rapid.SampledFrom([]string{"configurationdatablob", "LogOutputBlob"}).Draw(r, "type")}}}}
}

func applicationVersionOf(r *rapid.T) map[string]any {
	regions := []any{map[string]any{"name": "east US"}}
	if rapid.Bool().Draw(r, "second") {
		regions = append(regions, map[string]any{"name": "westus2", "storageAccountType": "premium_lrs", "regionalReplicaCount": rapid.IntRange(1, 10).Draw(r, "count"), "excludeFromLatest": rapid.Bool().Draw(r, "excluded")})
	}
	p := map[string]any{"source": map[string]any{"mediaLink": zipURI + signature, "defaultConfigurationLink": confURI}, "targetRegions": regions,
		"manageActions":     map[string]any{"install": name(r, 400), "remove": name(r, 40), "update": rapid.StringN(0, 40, 80).Draw(r, "update")},
		"settings":          map[string]any{"packageFileName": name(r, 40), "scriptBehaviorAfterReboot": rapid.SampledFrom([]string{"none", "Rerun"}).Draw(r, "reboot")},
		"enableHealthCheck": rapid.Bool().Draw(r, "health"), "replicaCount": rapid.IntRange(1, 10).Draw(r, "replicas"), "excludeFromLatest": rapid.Bool().Draw(r, "exclude"), "x": rapid.String().Draw(r, "unknown")}
	if rapid.Bool().Draw(r, "advanced") {
		p["advancedSettings"], p["customActions"] = map[string]any{"k": rapid.String().Draw(r, "setting")}, actionsOf(r)
	}
	if rapid.Bool().Draw(r, "kind") {
		p["storageAccountType"] = "standard_zrs"
	}
	return map[string]any{"publishingProfile": p, "safetyProfile": map[string]any{"allowDeletionOfReplicatedLocations": rapid.Bool().Draw(r, "allow")}}
}

func storageOf(r *rapid.T) map[string]any {
	disk := func(id string) map[string]any { return map[string]any{"source": map[string]any{"id": id}} }
	switch rapid.IntRange(0, 3).Draw(r, "source") {
	case 0:
		return disk(imageA)
	case 1:
		return map[string]any{"source": map[string]any{"virtualMachineId": vmA}}
	case 2:
		return map[string]any{"osDiskImage": map[string]any{"source": map[string]any{"id": acctA, "uri": vhdURI}}}
	}
	data := disk(snapA + "2")
	data["lun"] = rapid.IntRange(0, 63).Draw(r, "lun")
	return map[string]any{"osDiskImage": disk(diskA), "dataDiskImages": []any{data}}
}

func tags(r *rapid.T) map[string]string {
	return rapid.MapOfN(rapid.StringMatching(`[a-zA-Z][a-zA-Z0-9 ]{0,9}`), rapid.StringN(0, 20, 100), 0, 3).Draw(r, "tags")
}

func name(r *rapid.T, most int) string {
	return rapid.StringMatching(fmt.Sprintf(`[A-Za-z0-9_.-]{0,%d}[A-Za-z0-9_-]`, most-1)).Draw(r, "name")
}

// again puts a document, and then what GET answers.
func (w *world) again(r *rapid.T, path, api string, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		r.Fatal(err)
	}
	w.ended(path, string(body)) // by a client that knows all
	whole := w.seen(r, path+"?api-version=2026-03-03")
	first := w.seen(r, path+api)
	w.ended(path+api, string(first))
	if diff := cmp.Diff(unsigned(w, first), unsigned(w, w.seen(r, path+api))); diff != "" {
		r.Fatalf("%s: %s", path, diff)
	}
	if diff := cmp.Diff(unsigned(w, whole), unsigned(w, w.seen(r, path+"?api-version=2026-03-03"))); diff != "" {
		r.Fatalf("%s: a PUT%s lost what it does not know: %s", path, api, diff)
	}
}

// unsigned is a document without who wrote it when.
func unsigned(w *world, body []byte) map[string]any {
	w.Helper()
	v := decode(w, body)
	delete(v, "systemData")
	return v
}

// ended puts a document, and waits if that takes long.
func (w *world) ended(path, body string) {
	w.Helper()
	r, err := w.do(inA, "PUT", path, body)
	w.must(err)
	if r.Header.Get("Azure-AsyncOperation") == "" {
		return
	}
	if o := w.wait(r); o.Status != operation.Succeeded {
		w.Fatalf("PUT %s: %s %v", path, o.Status, o.Error)
	}
}

func (w *world) seen(r *rapid.T, path string) []byte {
	answer, err := w.do(inA, "GET", path, "")
	if err != nil {
		r.Fatal(err)
	}
	return answer.Body
}
