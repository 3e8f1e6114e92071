// A stock grpc-gateway over a hub: the floor of our own REST door.
//
// usage: gateway HUB_ADDRESS; prints the address where it listens.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"

	vmagent "bench/gateway/gen/vmagent/v1"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

func main() {
	mux := runtime.NewServeMux()
	plain := []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}
	err := vmagent.RegisterHubHandlerFromEndpoint(context.Background(), mux, os.Args[1], plain)
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr())
	log.Fatal(http.Serve(listener, mux))
}
