// A control plane of go-control-plane's, to drive a Mizzen proxy by xDS that we did not write: one
// listener, one route table, one cluster with endpoints, on ADS and on a service per type, delta and
// state of the world alike. POST /set?backend=HOST:PORT&prefix=/x on -control changes it, POST
// /break sends a listener that no proxy can take.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	router "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	clusterservice "github.com/envoyproxy/go-control-plane/envoy/service/cluster/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	endpointservice "github.com/envoyproxy/go-control-plane/envoy/service/endpoint/v3"
	listenerservice "github.com/envoyproxy/go-control-plane/envoy/service/listener/v3"
	routeservice "github.com/envoyproxy/go-control-plane/envoy/service/route/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
)

var (
	listen  = flag.Uint("listen", 0, "port of the proxy's listener")
	backend = flag.String("backend", "", "HOST:PORT of the first backend")
	control = flag.String("control", "", "address of the page that changes the configuration")
	xds     = flag.String("xds", "", "address of the xDS services")
	byAds   = flag.Bool("ads", true, "resources refer to ADS for what they need, else to a service per type")
	nacks   atomic.Int64
)

func pack(message proto.Message) *anypb.Any {
	packed, err := anypb.New(message)
	if err != nil {
		log.Fatal(err)
	}
	return packed
}

func origin() *core.ConfigSource {
	if *byAds {
		return &core.ConfigSource{ResourceApiVersion: core.ApiVersion_V3,
			ConfigSourceSpecifier: &core.ConfigSource_Ads{Ads: &core.AggregatedConfigSource{}}}
	}
	return &core.ConfigSource{ResourceApiVersion: core.ApiVersion_V3,
		ConfigSourceSpecifier: &core.ConfigSource_ApiConfigSource{ApiConfigSource: &core.ApiConfigSource{
			ApiType: core.ApiConfigSource_GRPC, TransportApiVersion: core.ApiVersion_V3,
			GrpcServices: []*core.GrpcService{{TargetSpecifier: &core.GrpcService_EnvoyGrpc_{
				EnvoyGrpc: &core.GrpcService_EnvoyGrpc{ClusterName: "xds"}}}}}}}
}

func address(host string, port uint32) *core.Address {
	return &core.Address{Address: &core.Address_SocketAddress{SocketAddress: &core.SocketAddress{
		Address: host, PortSpecifier: &core.SocketAddress_PortValue{PortValue: port}}}}
}

func endpoints(at string) *endpoint.ClusterLoadAssignment {
	host, text, err := net.SplitHostPort(at)
	if err != nil {
		log.Fatal(err)
	}
	port, _ := strconv.Atoi(text)
	return &endpoint.ClusterLoadAssignment{ClusterName: "backend", Endpoints: []*endpoint.LocalityLbEndpoints{{
		LbEndpoints: []*endpoint.LbEndpoint{{HostIdentifier: &endpoint.LbEndpoint_Endpoint{
			Endpoint: &endpoint.Endpoint{Address: address(host, uint32(port))}}}}}}}
}

func theListener(bad bool) *listener.Listener {
	manager := &hcm.HttpConnectionManager{StatPrefix: "in",
		RouteSpecifier: &hcm.HttpConnectionManager_Rds{Rds: &hcm.Rds{RouteConfigName: "routes", ConfigSource: origin()}},
		HttpFilters: []*hcm.HttpFilter{{Name: "envoy.filters.http.router",
			ConfigType: &hcm.HttpFilter_TypedConfig{TypedConfig: pack(&router.Router{})}}}}
	if bad {
		manager.HttpFilters = nil
	}
	return &listener.Listener{Name: "in", Address: address("127.0.0.1", uint32(*listen)),
		FilterChains: []*listener.FilterChain{{Filters: []*listener.Filter{{
			Name:       "envoy.filters.network.http_connection_manager",
			ConfigType: &listener.Filter_TypedConfig{TypedConfig: pack(manager)}}}}}}
}

func world(version, at, prefix string, bad bool) *cache.Snapshot {
	backends := &cluster.Cluster{Name: "backend", ConnectTimeout: durationpb.New(2 * time.Second),
		ClusterDiscoveryType: &cluster.Cluster_Type{Type: cluster.Cluster_EDS},
		EdsClusterConfig:     &cluster.Cluster_EdsClusterConfig{EdsConfig: origin()}}
	routes := &route.RouteConfiguration{Name: "routes", VirtualHosts: []*route.VirtualHost{{
		Name: "all", Domains: []string{"*"}, Routes: []*route.Route{{
			Match:  &route.RouteMatch{PathSpecifier: &route.RouteMatch_Prefix{Prefix: prefix}},
			Action: &route.Route_Route{Route: &route.RouteAction{ClusterSpecifier: &route.RouteAction_Cluster{Cluster: "backend"}}}}}}}}
	made, err := cache.NewSnapshot(version, map[resource.Type][]types.Resource{
		resource.ClusterType: {backends}, resource.EndpointType: {endpoints(at)},
		resource.ListenerType: {theListener(bad)}, resource.RouteType: {routes}})
	if err != nil {
		log.Fatal(err)
	}
	return made
}

func main() {
	flag.Parse()
	known := cache.NewSnapshotCache(*byAds, cache.IDHash{}, nil)
	version := 0
	at, prefix := *backend, "/"
	set := func(bad bool) {
		version++
		if err := known.SetSnapshot(context.Background(), "test", world(strconv.Itoa(version), at, prefix, bad)); err != nil {
			log.Fatal(err)
		}
	}
	set(false)
	callbacks := server.CallbackFuncs{
		StreamRequestFunc: func(_ int64, request *discovery.DiscoveryRequest) error {
			if request.ErrorDetail != nil {
				nacks.Add(1)
			}
			return nil
		},
		StreamDeltaRequestFunc: func(_ int64, request *discovery.DeltaDiscoveryRequest) error {
			if request.ErrorDetail != nil {
				nacks.Add(1)
			}
			return nil
		}}
	serving := server.NewServer(context.Background(), known, callbacks)
	services := grpc.NewServer()
	discovery.RegisterAggregatedDiscoveryServiceServer(services, serving)
	clusterservice.RegisterClusterDiscoveryServiceServer(services, serving)
	endpointservice.RegisterEndpointDiscoveryServiceServer(services, serving)
	listenerservice.RegisterListenerDiscoveryServiceServer(services, serving)
	routeservice.RegisterRouteDiscoveryServiceServer(services, serving)
	socket, err := net.Listen("tcp", *xds)
	if err != nil {
		log.Fatal(err)
	}
	go func() { log.Fatal(services.Serve(socket)) }()
	http.HandleFunc("/set", func(_ http.ResponseWriter, request *http.Request) {
		if value := request.FormValue("backend"); value != "" {
			at = value
		}
		if value := request.FormValue("prefix"); value != "" {
			prefix = value
		}
		set(false)
	})
	http.HandleFunc("/break", func(http.ResponseWriter, *http.Request) { set(true) })
	http.HandleFunc("/nacks", func(answer http.ResponseWriter, _ *http.Request) { fmt.Fprintln(answer, nacks.Load()) })
	log.Fatal(http.ListenAndServe(*control, nil))
}
