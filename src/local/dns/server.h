// The cluster's name server: `cluster.local` from the store, everything else from the machine's
// resolvers.
#pragma once

#include <memory>
#include <string_view>

#include "io/datagram.h"
#include "io/loop.h"
#include "local/apiserver/store.h"
#include "local/network/outside.h"
#include "net/dns_message.h"

namespace mizzen::local::dns {

using net::dns::Answer;
using net::dns::encode_answer;
using net::dns::parse_query;
using net::dns::Query;
using net::dns::Rcode;

// The answer for a name that is the cluster's own (below cluster.local, or host.mizzen.internal);
// nothing for others. Services by cluster IP, headless ones by their ready endpoints,
// HOSTNAME.SERVICE for pods with a subdomain, 10-244-0-5.NS.pod for pods.
std::optional<Answer> lookup(const Store& store, std::string_view name);

// Serves UDP on `address`. Loop thread only; store and outside outlive it.
class Server {
 public:
  static Result<std::unique_ptr<Server>> start(io::Loop& loop, const Store& store, Outside& outside,
                                               const io::Address& address);

 private:
  Server(const Store& store, Outside& outside) : store_(store), outside_(outside) {}
  void receive(std::string_view message, const io::Address& from);
  void forward(std::string message, const Query& query, const io::Address& from);
  void send(std::string_view message, const io::Address& to);

  const Store& store_;
  Outside& outside_;
  std::unique_ptr<io::Datagram> socket_;
};

}  // namespace mizzen::local::dns
