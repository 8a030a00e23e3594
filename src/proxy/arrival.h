// A connection between accept() and the filter chain that serves it: original destination, a look
// at the first bytes, chain match, TLS handshake.
#pragma once

#include <memory>

#include "io/stream.h"
#include "proxy/http/lookup.h"
#include "proxy/session.h"
#include "proxy/worker.h"

namespace mizzen::proxy {

class Arrival final : public Session, private io::StreamHandler {
 public:
  Arrival(Worker& worker, std::shared_ptr<const Listener> listener,
          std::unique_ptr<io::Stream> stream, PlaceRef place);
  // One of the two once, after it was added to the worker; may remove itself.
  void start();
  void start_inside(const ConnectionInfo& outer, const io::Address& meant);

  void on_chain(const std::shared_ptr<const Listener>& listener, const FilterChain* chain) override;
  void drain() override;
  const ConnectionInfo& info() const override { return info_; }

 private:
  enum class State : std::uint8_t { kInspecting, kLooking, kHandshaking, kDone };
  void on_readable() override;
  void on_writable() override {}
  void on_open() override;
  void on_error(const Error& error) override;
  void on_timeout();

  void begin();  // with the addresses that count
  void follow_destination();
  bool take_proxy_header();  // false: not whole yet, or refused
  void inspect();
  // Looks at `bytes`; false when more are needed.
  bool identify(std::string_view bytes, bool at_end);
  void choose();
  // True: the control plane is asked for those of `names` that it has not spoken about; `then` goes
  // on when it has.
  bool look_up(std::vector<std::string> names, void (Arrival::*then)());
  void hand_over();
  void refuse(Flag flag, std::string_view details);
  void finish();

  Worker& worker_;
  std::unique_ptr<io::Stream> stream_;
  ConnectionInfo info_;
  LiveConfigRef config_;  // keeps chain_
  const FilterChain* chain_ = nullptr;
  bool wants_proxy_header_ = false;
  bool look_for_tls_ = false;
  bool look_for_http_ = false;
  State state_ = State::kInspecting;
  io::Timer timer_;
  std::unique_ptr<Lookup> lookup_;
};

}  // namespace mizzen::proxy
