package machine

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"vitrine/internal/arm"
	"vitrine/internal/arm/armjson"
	"vitrine/internal/authn"
	"vitrine/internal/control"
	"vitrine/internal/provider/machine/size"
	"vitrine/internal/store"
	"vitrine/internal/vm"
)

const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me@here"

// body is what `az vm create` sends, nulls and camel cases as recorded, changed by edits "path.to.member=JSON".
func body(t testing.TB, edits ...string) string {
	t.Helper()
	var m map[string]any
	raw := `{"location":"eastus","tags":{},"properties":{
	 "hardwareProfile":{"vmSize":"Standard_DS1_v2"},
	 "networkProfile":{"networkInterfaces":[{"id":"` + nicID + `","properties":{"deleteOption":null}}]},
	 "storageProfile":{"osDisk":{"createOption":"fromImage","name":null,"caching":"ReadWrite","managedDisk":{"storageAccountType":null}},
	  "imageReference":{"id":"` + images + `gen/versions/1.0.0"}},
	 "osProfile":{"computerName":"myVM","adminUsername":"azureuser","linuxConfiguration":{"disablePasswordAuthentication":true,
	  "ssh":{"publicKeys":[{"keyData":"` + key + `","path":"/home/azureuser/.ssh/authorized_keys"}]}}}}}`
	if err := json.Unmarshal([]byte(raw), &m); err != nil {
		t.Fatal(err)
	}
	for _, e := range edits {
		path, value, _ := strings.Cut(e, "=")
		names := strings.Split(path, ".")
		at := m
		if names[0] != "location" && names[0] != "tags" && names[0] != "identity" {
			at = m["properties"].(map[string]any)
		}
		for _, n := range names[:len(names)-1] {
			at = at[n].(map[string]any)
		}
		var v any
		if err := json.Unmarshal([]byte(value), &v); err != nil {
			t.Fatalf("%s: %v", e, err)
		}
		at[names[len(names)-1]] = v
	}
	out, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func image(name string) string {
	return fmt.Sprintf("storageProfile.imageReference={\"id\":%q}", images+name)
}

func powerOf(t testing.TB, w *world, name string) string {
	t.Helper()
	v := w.must("GET", machines+name+"?$expand=instanceView", "")
	list, _ := at(v, "properties", "instanceView", "statuses").([]any)
	for _, s := range list {
		if code := fmt.Sprint(at(s, "code")); strings.HasPrefix(code, "PowerState/") {
			return strings.TrimPrefix(code, "PowerState/")
		}
	}
	return ""
}

func TestLife(t *testing.T) {
	w := newWorld(t)
	first, status, err := w.do("PUT", machines+"m", body(t))
	if err != nil || status != 201 || at(first, "properties", "provisioningState") != "Creating" {
		t.Fatalf("create: %d %v %v", status, err, first)
	}
	m := w.must("GET", machines+"m", "")
	id := fmt.Sprint(at(m, "properties", "vmId"))
	if at(m, "properties", "provisioningState") != "Succeeded" || at(m, "properties", "instanceView") != nil {
		t.Errorf("after creation: %v", m)
	}
	if got := at(m, "properties", "storageProfile", "imageReference", "exactVersion"); got != "1.0.0" {
		t.Errorf("exactVersion %v", got)
	}
	disk := fmt.Sprint(at(m, "properties", "storageProfile", "osDisk", "managedDisk", "id"))
	if !strings.HasPrefix(disk, disksAt+"m_disk1_") || at(m, "properties", "storageProfile", "osDisk", "osType") != "Linux" {
		t.Errorf("OS disk %v", disk)
	}
	spec, starts, _, ok := w.runtime.Machine(id)
	if !ok || starts != 1 || spec.CPUs != 1 || spec.MemoryMiB != 1024 || spec.Firmware != vm.BIOS || len(spec.Disks) != 1 || len(spec.NICs) != 1 {
		t.Fatalf("started %d times as %+v", starts, spec)
	}
	if seed := w.seed(id); !bytes.Contains(seed, []byte("azureuser")) || !bytes.Contains(seed, []byte("AAAAC3NzaC1lZDI1NTE5")) {
		t.Errorf("seed of %d bytes lacks user or key", len(seed))
	}
	if n := w.nic(); n.Live != id || n.VM != strings.ToLower(machines+"m") {
		t.Errorf("interface %+v", n)
	}
	if got := powerOf(t, w, "m"); got != "running" {
		t.Errorf("power %s", got)
	}
	part := w.must("GET", machines+"m/instanceView", "")
	if at(part, "computerName") != "myVM" {
		t.Errorf("part %v", part)
	}
	for _, step := range []struct{ action, want string }{
		{"powerOff?skipShutdown=true", "stopped"}, {"start", "running"}, {"restart", "running"}, {"powerOff", "stopped"},
		{"start", "running"}, {"deallocate", "deallocated"},
	} {
		w.must("POST", machines+"m/"+step.action, "")
		w.update(func(tx store.Tx) error {
			id, _ := arm.ParseID(disk)
			doc, _, err := w.disks.load(tx, id)
			if doc.Reserved != (step.want == "deallocated") {
				t.Errorf("after %s the disk is reserved: %v", step.action, doc.Reserved)
			}
			return err
		})
		if got := powerOf(t, w, "m"); got != step.want {
			t.Errorf("after %s: %s", step.action, got)
		}
		if on := w.nic().Live != ""; on != (step.want == "running") {
			t.Errorf("after %s the interface is on the wire: %v", step.action, on)
		}
	}
	w.fails("POST", machines+"m/powerOff", "", "OperationNotAllowed")
	w.must("POST", machines+"m/generalize", "")
	w.fails("POST", machines+"m/start", "", "OperationNotAllowed", "generalized")
	w.fails("POST", machines+"m/redeploy", "", "OperationNotSupported", "redeploy")
	for _, at := range []string{groupID, "/subscriptions/" + sub} {
		if list := w.must("GET", at+"/providers/Microsoft.Compute/virtualMachines", ""); len(list["value"].([]any)) != 1 {
			t.Errorf("list at %s: %v", at, list)
		}
	}
	w.must("DELETE", machines+"m", "")
	w.fails("GET", machines+"m", "", "ResourceNotFound")
	// As in Azure, disk and interface stay; process, seed and wire do not.
	left := w.traces()
	if len(left) != 2 || !strings.HasPrefix(left[0], "disk ") || !strings.HasPrefix(left[1], "file ") {
		t.Errorf("left: %v", left)
	}
	if _, status, _ := w.do("DELETE", machines+"m", ""); status != 204 {
		t.Errorf("second delete: %d", status)
	}
}

func TestDeleteOptions(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", machines+"m", body(t, `storageProfile.osDisk.deleteOption="delete"`,
		`storageProfile.dataDisks=[{"lun":3,"createOption":"empty","diskSizeGB":10,"deleteOption":"Delete"}]`))
	m := w.must("GET", machines+"m", "")
	spec, _, _, _ := w.runtime.Machine(fmt.Sprint(at(m, "properties", "vmId")))
	if len(spec.Disks) != 2 || spec.Disks[1].Serial != "lun3" {
		t.Errorf("disks %+v", spec.Disks)
	}
	w.must("DELETE", machines+"m", "")
	if left := w.traces(); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

func TestImageDisks(t *testing.T) {
	w := newWorld(t)
	w.fails("PUT", machines+"m", body(t, image("data"), `storageProfile.dataDisks=[{"lun":0,"createOption":"fromImage","diskSizeGB":3}]`), "InvalidParameter", "smaller")
	w.must("PUT", machines+"m", body(t, image("data"))) // unlisted data disks of the image come along
	m := w.must("GET", machines+"m", "")
	if got := at(m, "properties", "storageProfile", "dataDisks", 0, "diskSizeGB"); got != 4.0 {
		t.Errorf("data disk: %v", at(m, "properties", "storageProfile"))
	}
	if spec, _, _, _ := w.runtime.Machine(fmt.Sprint(at(m, "properties", "vmId"))); spec.Firmware != vm.UEFI {
		t.Errorf("firmware %s for generation V2", spec.Firmware)
	}
}

func TestSpecialized(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", machines+"m", body(t, image("spec/versions/1.0.0"), `osProfile=null`))
	m := w.must("GET", machines+"m", "")
	if spec, _, _, _ := w.runtime.Machine(fmt.Sprint(at(m, "properties", "vmId"))); spec.Seed != "" || at(m, "properties", "osProfile") != nil {
		t.Errorf("a specialized machine has a seed %q or an osProfile", spec.Seed)
	}
}

// TestRefused: nothing is left of a refused request.
func TestRefused(t *testing.T) {
	w := newWorld(t)
	missing := func(what string) string { return "Required parameter '" + what + "' is missing (null)." }
	for _, c := range []struct {
		name  string
		edits []string
		code  string
		says  []string
	}{
		{"generalized without osProfile", []string{"osProfile=null"}, "InvalidParameter", []string{missing("osProfile"), " osProfile"}},
		{"specialized with osProfile", []string{image("spec")}, "InvalidParameter", []string{" osProfile", "not allowed"}},
		{"no user", []string{"osProfile.adminUsername=null"}, "InvalidParameter", []string{"adminUsername"}},
		{"root", []string{`osProfile.adminUsername="Root"`}, "InvalidParameter", []string{"The Admin Username specified is not allowed."}},
		{"admin", []string{`osProfile.adminUsername="admin"`}, "InvalidParameter", []string{"The Admin Username specified is not allowed."}},
		{"hostile user", []string{`osProfile.adminUsername="a\nruncmd: x"`}, "InvalidParameter", []string{"adminUsername"}},
		{"no key and no password", []string{"osProfile.linuxConfiguration.ssh=null"}, "InvalidParameter", []string{"SSH or by user name and password"}},
		{"password missing", []string{"osProfile.linuxConfiguration=null"}, "InvalidParameter", []string{missing("adminPassword")}},
		{"weak password", []string{"osProfile.linuxConfiguration=null", `osProfile.adminPassword="password"`}, "InvalidParameter", []string{"adminPassword"}},
		{"bad key", []string{`osProfile.linuxConfiguration.ssh={"publicKeys":[{"keyData":"nonsense"}]}`}, "InvalidParameter", []string{"keyData"}},
		{"bad key path", []string{`osProfile.linuxConfiguration.ssh={"publicKeys":[{"keyData":"` + key + `","path":"/etc/passwd"}]}`}, "InvalidParameter", []string{"/home/azureuser/.ssh/authorized_keys"}},
		{"numeric host name", []string{`osProfile.computerName="123"`}, "InvalidParameter", []string{"computerName"}},
		{"custom data", []string{`osProfile.customData="*"`}, "InvalidParameter", []string{"Base64"}},
		{"unknown version", []string{image("gen/versions/9.9.9")}, "GalleryImageNotFound", []string{"imageReference"}},
		{"image not in the region", []string{`location="westus"`}, "GalleryImageNotFound", []string{"westus"}},
		{"marketplace", []string{`storageProfile.imageReference={"publisher":"p","offer":"o","sku":"s","version":"latest"}`}, "PlatformImageNotFound", nil},
		{"shared gallery", []string{`storageProfile.imageReference={"sharedGalleryImageId":"/SharedGalleries/x"}`}, "InvalidParameter", []string{"sharedGalleryImageId"}},
		{"two images", []string{`storageProfile.imageReference={"sharedGalleryImageId":"x","id":"y"}`}, "InvalidParameter", []string{"Exactly one"}},
		{"image no ID", []string{`storageProfile.imageReference={"id":"ubuntu"}`}, "LinkedInvalidPropertyId", nil},
		{"no image", []string{"storageProfile.imageReference=null"}, "InvalidParameter", []string{missing("imageReference")}},
		{"Windows", []string{image("win")}, "InvalidParameter", []string{"Windows"}},
		{"Arm64", []string{image("arm64")}, "BadRequest", []string{"Arm64"}},
		{"unknown size", []string{`hardwareProfile.vmSize="Huge"`}, "InvalidParameter", []string{"vmSize"}},
		{"no size", []string{"hardwareProfile=null"}, "InvalidParameter", []string{"vmSize"}},
		{"no interface", []string{"networkProfile.networkInterfaces=[]"}, "InvalidParameter", []string{"network interface"}},
		{"missing interface", []string{`networkProfile.networkInterfaces=[{"id":"` + nicID + `x"}]`}, "InvalidResourceReference", nil},
		{"small disk", []string{"storageProfile.osDisk.diskSizeGB=1"}, "InvalidParameter", []string{"smaller"}},
		{"empty disk without size", []string{`storageProfile.dataDisks=[{"lun":0,"createOption":"Empty"}]`}, "InvalidParameter", []string{"diskSizeGB"}},
		{"two disks, one lun", []string{`storageProfile.dataDisks=[{"lun":0,"createOption":"Empty","diskSizeGB":1},{"lun":0,"createOption":"Empty","diskSizeGB":1}]`}, "InvalidParameter", []string{"lun"}},
		{"lun not in the image", []string{`storageProfile.dataDisks=[{"lun":7,"createOption":"fromImage"}]`}, "InvalidParameter", []string{"lun '7'"}},
		{"attach nothing", []string{`storageProfile.dataDisks=[{"lun":0,"createOption":"attach"}]`}, "InvalidParameter", []string{"managedDisk.id"}},
		{"attach a missing disk", []string{`storageProfile.dataDisks=[{"lun":0,"createOption":"attach","managedDisk":{"id":"` + disksAt + `no"}}]`}, "ResourceNotFound", nil},
		{"identity", []string{`identity={"type":"SystemAssigned"}`}, "InvalidParameter", []string{"identities"}},
		{"applications", []string{`applicationProfile={"galleryApplications":[{"packageReferenceId":"x"}]}`}, "InvalidParameter", []string{"applicationProfile.galleryApplications", "not supported"}},
		{"encryption at host", []string{`securityProfile={"encryptionAtHost":true}`}, "InvalidParameter", []string{"securityProfile.encryptionAtHost", "not supported"}},
		{"confidential", []string{`securityProfile={"securityType":"ConfidentialVM"}`}, "InvalidParameter", []string{"ConfidentialVM", "not supported"}},
		{"proxy agent", []string{`securityProfile={"proxyAgentSettings":{"enabled":true}}`}, "InvalidParameter", []string{"securityProfile.proxyAgentSettings"}},
		{"no security profile", []string{`securityProfile=7`}, "InvalidParameter", []string{"securityProfile"}},
		{"availability set", []string{`availabilitySet={"id":"x"}`}, "InvalidParameter", []string{"availabilitySet"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.t = t
			w.fails("PUT", machines+"m", body(t, c.edits...), c.code, c.says...)
			w.fails("GET", machines+"m", "", "ResourceNotFound")
			if left := w.traces(); len(left) != 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

func TestAllFaultsAtOnce(t *testing.T) {
	w := newWorld(t)
	_, _, err := w.do("PUT", machines+"m", body(t, `osProfile.adminUsername="root"`, `osProfile.computerName="123"`, `osProfile.customData="*"`))
	var e *arm.Error
	if !errors.As(err, &e) || len(e.Details) != 4 { // the key's path no longer fits the user either
		t.Errorf("%v", err)
	}
}

func TestLinks(t *testing.T) {
	w := newWorld(t)
	both := w.caller
	w.caller.Auxiliary = nil
	w.fails("PUT", machines+"m", body(t), "LinkedAuthorizationFailed", "current tenant", machines+"m")
	w.caller.Auxiliary = []authn.Principal{{TenantID: tenantB, ObjectID: "dddddddd-3333-3333-3333-333333333333"}}
	w.fails("PUT", machines+"m", body(t), "LinkedAuthorizationFailed", "versions/read", images+"gen/versions/1.0.0")
	w.fails("PUT", machines+"m", body(t, image("gen")), "LinkedAuthorizationFailed", "galleries/images/read")
	if left := w.traces(); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	w.caller = both
	w.must("PUT", machines+"m", body(t))
	// The image does not change: nobody asks for rights on it again.
	w.caller.Auxiliary = nil
	w.must("PUT", machines+"m", body(t, `tags={"a":"b"}`))
	w.must("PATCH", machines+"m", `{"tags":{"c":"d"}}`)
}

// The ETag counts what clients write, not how the machine does; versions that do not know it do not show it.
func TestETag(t *testing.T) {
	w := newWorld(t)
	at := func(version string) (string, any) {
		t.Helper()
		r, err := w.control.Do(t.Context(), control.Request{Method: "GET", Path: machines + "m", Query: url.Values{"api-version": {version}}, Caller: w.caller})
		if err != nil {
			t.Fatal(err)
		}
		var body map[string]any
		if err := json.Unmarshal(r.Body, &body); err != nil {
			t.Fatal(err)
		}
		return r.Header.Get("ETag"), body["etag"]
	}
	w.must("PUT", machines+"m", body(t))
	w.must("POST", machines+"m/powerOff", "")
	for want, write := range []func(){nil, func() { w.must("PATCH", machines+"m", `{"tags":{"a":"b"}}`) }, func() { w.must("PUT", machines+"m", body(t)) }} {
		if write != nil {
			write()
		}
		if header, etag := at("2024-07-01"); header != fmt.Sprintf("%q", fmt.Sprint(want+1)) || etag != header {
			t.Errorf("after write %d: header %s, body %v", want+1, header, etag)
		}
	}
	if _, etag := at("2023-09-01"); etag != nil {
		t.Errorf("2023-09-01 shows the ETag %v", etag)
	}
}

func TestChanges(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", machines+"m", body(t))
	for _, edit := range []string{`osProfile.adminUsername="other"`, `osProfile.computerName="other"`, image("gen/versions/2.0.0"),
		`osProfile.adminPassword="Secret-12345"`, `osProfile.customData="YQ=="`} {
		w.fails("PUT", machines+"m", body(t, edit), "PropertyChangeNotAllowed")
	}
	w.fails("PUT", machines+"m", body(t, `location="westus"`), "InvalidResourceLocation")
	w.fails("PUT", machines+"m", body(t, `hardwareProfile.vmSize="Standard_D2s_v5"`), "OperationNotAllowed")
	w.fails("PUT", machines+"m2", body(t), "NicInUse")
	// az vm update sends the whole model back.
	m := w.must("GET", machines+"m", "")
	raw, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	w.must("PUT", machines+"m", string(raw))
	w.must("POST", machines+"m/deallocate", "")
	disk := `storageProfile.dataDisks=[{"lun":0,"createOption":"Empty","diskSizeGB":10}]`
	w.must("PUT", machines+"m", body(t, `hardwareProfile.vmSize="Standard_D2s_v5"`, disk))
	w.must("POST", machines+"m/start", "")
	spec, _, _, _ := w.runtime.Machine(fmt.Sprint(at(m, "properties", "vmId")))
	if spec.CPUs != 2 || len(spec.Disks) != 2 {
		t.Errorf("after the change: %+v", spec)
	}
	w.fails("PUT", machines+"m", body(t, `hardwareProfile.vmSize="Standard_D2s_v5"`), "OperationNotAllowed", "dataDisks")
	w.must("POST", machines+"m/deallocate", "")
	w.must("PUT", machines+"m", body(t, `hardwareProfile.vmSize="Standard_D2s_v5"`)) // detached
	w.update(func(tx store.Tx) error {
		docs, err := tx.List(store.Query{Kind: control.Kind(diskType)})
		free := 0
		for _, d := range docs {
			var doc diskDoc
			if err := json.Unmarshal(d.Body, &doc); err != nil {
				return err
			}
			if doc.Owner == "" {
				free++
			}
		}
		if len(docs) != 2 || free != 1 {
			t.Errorf("%d disks, %d of them free", len(docs), free)
		}
		return err
	})
}

func TestSecrets(t *testing.T) {
	w := newWorld(t)
	const password, custom = "Very-Secret-1", "#cloud-config secret"
	data := base64.StdEncoding.EncodeToString([]byte(custom))
	b := body(t, "osProfile.linuxConfiguration=null", `osProfile.adminPassword="`+password+`"`, `osProfile.customData="`+data+`"`, `userData="`+data+`"`)
	answer, _, err := w.do("PUT", machines+"m", b)
	if err != nil {
		t.Fatal(err)
	}
	answers := []any{answer, w.must("GET", machines+"m", ""), w.must("GET", machines+"m?$expand=instanceView", ""),
		w.must("PUT", machines+"m", b), w.must("PATCH", machines+"m", `{"tags":{"a":"b"}}`), w.must("GET", groupID+"/providers/Microsoft.Compute/virtualMachines", "")}
	for i, a := range answers {
		raw, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{password, data, "adminPassword", "customData", "userData", "v1."} {
			if bytes.Contains(raw, []byte(word)) {
				t.Errorf("answer %d shows %s: %s", i, word, raw)
			}
		}
	}
	w.update(func(tx store.Tx) error {
		docs, err := tx.List(store.Query{})
		for _, d := range docs {
			if bytes.Contains(d.Body, []byte(password)) || bytes.Contains(d.Body, []byte(data)) {
				t.Errorf("document %s holds a secret in clear", d.Key)
			}
		}
		return err
	})
	id, _ := arm.ParseID(machines + "m")
	var m *resource
	w.update(func(tx store.Tx) (err error) { m, err = control.Get[Properties](tx, id); return err })
	if got, err := w.provider.reveal(id, "osProfile.adminPassword", m.Properties.OS.AdminPassword); err != nil || string(got) != password {
		t.Errorf("the password after an update: %q, %v", got, err)
	}
	seed := w.seed(m.Properties.VMID)
	if !bytes.Contains(seed, []byte(custom)) || bytes.Contains(seed, []byte(password)) || !bytes.Contains(seed, []byte("$6$")) {
		t.Errorf("seed of %d bytes", len(seed))
	}
	wire, err := armjson.Wire(m)
	if err != nil || bytes.Contains(wire, []byte("desired")) {
		t.Errorf("private state is shown: %s %v", wire, err)
	}
}

func TestSizes(t *testing.T) {
	for _, c := range []struct {
		name string
		ok   bool
	}{{"standard_ds1_V2", true}, {"Standard_D96ads_v6", true}, {"Standard_NC24ads_A100_v4", true}, {"Standard_B2ats_v2", true}, {"Large", false}, {"Standard_", false}, {"Standard_D", false}, {"Standard_D0", false}} {
		if _, ok := size.Of(c.name); ok != c.ok {
			t.Errorf("%s: %v", c.name, ok)
		}
	}
	w := newWorld(t)
	if list := w.must("GET", "/subscriptions/"+sub+"/providers/Microsoft.Compute/locations/eastus/vmSizes", ""); len(list["value"].([]any)) == 0 {
		t.Error("no sizes")
	}
	if list := w.must("GET", "/subscriptions/"+sub+"/providers/Microsoft.Compute/skus?$filter=location+eq+'eastus'", ""); len(list["value"].([]any)) != len(size.All()) {
		t.Error("skus are not filtered")
	}
}
