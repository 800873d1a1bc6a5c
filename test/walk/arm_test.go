package walk

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"

	"vitrine/internal/client"
)

// answer is what ARM said to one request.
type answer struct {
	status int
	header http.Header
	body   string
}

// arm sends one request with exactly the tokens given: the primary, then auxiliary ones.
func (s *server) arm(method, path, version, body, token string, auxiliary ...string) answer {
	s.t.Helper()
	where, err := client.ReadServer(s.data)
	if err != nil {
		s.t.Fatal(err)
	}
	h, err := where.HTTP()
	if err != nil {
		s.t.Fatal(err)
	}
	defer h.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	mark := "?"
	if strings.Contains(path, "?") {
		mark = "&"
	}
	req, err := http.NewRequestWithContext(ctx, method, "https://management.azure.com"+path+mark+"api-version="+version, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	if len(auxiliary) > 0 {
		req.Header.Set("x-ms-authorization-auxiliary", "Bearer "+strings.Join(auxiliary, ", Bearer "))
	}
	resp, err := h.Do(req)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	return answer{resp.StatusCode, resp.Header, string(raw)}
}

// object is JSON in the making.
type object = map[string]any

func (w *world) text(v any) string {
	w.t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(raw)
}

// vmBody is a machine as az writes it, on a network interface that is there.
func (w *world) vmBody(name, location, image, nic string) object {
	return object{"location": location, "properties": object{
		"hardwareProfile": object{"vmSize": "Standard_DS1_v2"},
		"networkProfile":  object{"networkInterfaces": []object{{"id": nic}}},
		"storageProfile":  object{"osDisk": object{"createOption": "fromImage", "name": nil, "caching": "ReadWrite"}, "imageReference": object{"id": image}},
		"osProfile": object{"computerName": name, "adminUsername": "azureuser", "linuxConfiguration": object{"disablePasswordAuthentication": true,
			"ssh": object{"publicKeys": []object{{"keyData": w.sshKey(), "path": "/home/azureuser/.ssh/authorized_keys"}}}}}}}
}

// template wraps resources as a deployment's body.
func template(resources ...object) object {
	return object{"properties": object{"mode": "incremental", "parameters": object{}, "template": object{
		"$schema": "https://schema.management.azure.com/schemas/2015-01-01/deploymentTemplate.json#", "contentVersion": "1.0.0.0",
		"parameters": object{}, "variables": object{}, "resources": resources, "outputs": object{}}}}
}

// vmTemplate is the deployment that az vm create sends: network, NSG, address, interface, machine.
func (w *world) vmTemplate(group, name, image string) object {
	network := group + "/providers/Microsoft.Network/"
	vm := w.vmBody(name, "eastus", image, network+"networkInterfaces/"+name+"VMNic")
	for key, value := range map[string]any{"apiVersion": "2024-11-01", "type": "Microsoft.Compute/virtualMachines", "name": name,
		"dependsOn": []string{"Microsoft.Network/networkInterfaces/" + name + "VMNic"}} {
		vm[key] = value
	}
	return template(
		object{"name": name + "VNET", "type": "Microsoft.Network/virtualNetworks", "apiVersion": "2015-06-15", "location": "eastus",
			"properties": object{"addressSpace": object{"addressPrefixes": []string{"10.0.0.0/16"}},
				"subnets": []object{{"name": name + "Subnet", "properties": object{"addressPrefix": "10.0.0.0/24"}}}}},
		object{"name": name + "NSG", "type": "Microsoft.Network/networkSecurityGroups", "apiVersion": "2015-06-15", "location": "eastus",
			"properties": object{"securityRules": []object{{"name": "default-allow-ssh", "properties": object{"protocol": "Tcp", "sourcePortRange": "*",
				"destinationPortRange": "22", "sourceAddressPrefix": "*", "destinationAddressPrefix": "*", "access": "Allow", "priority": 1000, "direction": "Inbound"}}}}},
		object{"name": name + "PublicIP", "type": "Microsoft.Network/publicIPAddresses", "apiVersion": "2022-01-01", "location": "eastus",
			"sku": object{"name": "Standard"}, "properties": object{"publicIPAllocationMethod": "Static"}},
		object{"name": name + "VMNic", "type": "Microsoft.Network/networkInterfaces", "apiVersion": "2015-06-15", "location": "eastus",
			"dependsOn": []string{"Microsoft.Network/virtualNetworks/" + name + "VNET", "Microsoft.Network/networkSecurityGroups/" + name + "NSG",
				"Microsoft.Network/publicIpAddresses/" + name + "PublicIP"},
			"properties": object{"networkSecurityGroup": object{"id": network + "networkSecurityGroups/" + name + "NSG"},
				"ipConfigurations": []object{{"name": "ipconfig" + name, "properties": object{"privateIPAllocationMethod": "Dynamic",
					"subnet":          object{"id": network + "virtualNetworks/" + name + "VNET/subnets/" + name + "Subnet"},
					"publicIPAddress": object{"id": network + "publicIPAddresses/" + name + "PublicIP"}}}}}},
		vm)
}

// publicIP reads the address that vmTemplate made.
func (w *world) publicIP(group, name string) string {
	w.t.Helper()
	var ip struct {
		Properties struct{ IPAddress string }
	}
	w.do("fabrikam", http.MethodGet, group+"/providers/Microsoft.Network/publicIPAddresses/"+name+"PublicIP", "2022-01-01", nil, &ip)
	return ip.Properties.IPAddress
}

// unfinished lists the operations that have not ended; each holds a lease or waits for one.
func (s *server) unfinished() []client.Operation {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var open []client.Operation
	if err := s.operator().Do(ctx, "/v1/operations", nil, &open); err != nil {
		s.t.Fatal(err)
	}
	return open
}

// quiet waits until every operation has ended.
func (s *server) quiet() {
	s.t.Helper()
	var open []client.Operation
	limit := time.Now().Add(bootLimit)
	s.await("every operation to end", 2*bootLimit, func() bool {
		if open = s.unfinished(); len(open) > 0 && time.Now().After(limit) {
			s.t.Fatalf("operations do not end: %+v", open)
		}
		return len(open) == 0
	})
}
