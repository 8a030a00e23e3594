// The workload's name server: answers for names of the mesh by the table that the control plane
// sends (NDS), asks the pod's own servers for the rest. Capture rules bring the workload's UDP
// queries here; queries over TCP go their usual way. Loop thread only.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "io/datagram.h"
#include "io/loop.h"
#include "net/dns_message.h"

namespace mizzen::agent {

struct DnsProxyOptions {
  io::Address listen;
  std::vector<io::Address> servers;  // asked in turn, each for `try_time`
  Duration try_time = std::chrono::seconds(2);
  std::size_t most_waiting = 1024;  // queries under way; more are answered SERVFAIL
};

// "nameserver" lines of a resolv.conf; lines that are not understood are left out.
std::vector<io::Address> read_name_servers(std::string_view resolv_conf);

class DnsProxy {
 public:
  static Result<std::unique_ptr<DnsProxy>> start(io::Loop& loop, DnsProxyOptions options);
  ~DnsProxy();
  DnsProxy(const DnsProxy&) = delete;
  DnsProxy& operator=(const DnsProxy&) = delete;

  // Takes the place of all names known. `name_table`: a serialized istio.networking.nds.v1
  // NameTable. kInvalid for anything else; the old names stay.
  Status set_names(std::string_view name_table);
  std::size_t names() const { return names_.size(); }
  const io::Address& address() const { return socket_->address(); }

 private:
  struct Waiting {
    std::string message;
    net::dns::Query query;
    io::Address client;
    io::Address asked_at;  // the address that the client sent to
    std::size_t server = 0;
    MonoTime deadline{};
  };
  DnsProxy(io::Loop& loop, DnsProxyOptions options);
  void on_query(std::string_view message, const io::Address& from, const io::Address& to);
  void on_reply(std::string_view message, const io::Address& from);
  void ask(std::uint16_t id);
  void sweep();
  void reply(const Waiting& waiting, const net::dns::Answer& answer);
  // The addresses of a name, or of the nearest wildcard above it; null when it is not the mesh's.
  const std::vector<std::uint32_t>* find(const std::string& name) const;

  io::Loop& loop_;
  DnsProxyOptions options_;
  std::unordered_map<std::string, std::vector<std::uint32_t>> names_;  // IPv4, host byte order
  std::unique_ptr<io::Datagram> socket_;
  std::unique_ptr<io::Datagram> upstream_;
  std::map<std::uint16_t, Waiting> waiting_;  // by the id that the server sees
  std::mt19937 random_{std::random_device{}()};
  io::TimerId timer_ = 0;
};

}  // namespace mizzen::agent
