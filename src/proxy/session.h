// What a worker keeps for each downstream connection, whatever it speaks.
#pragma once

#include <list>
#include <memory>

#include "proxy/facts.h"

namespace mizzen::proxy {

class Worker;

// Owned by its worker. A session that is over calls Worker::remove(*this) and touches nothing of
// itself afterwards but what is on its stack: it is destroyed at the end of the loop's turn.
class Session {
 public:
  virtual ~Session() = default;
  // The worker has a new snapshot whose listeners changed. `chain` is what this connection would
  // get today, or null for none.
  virtual void on_chain(const std::shared_ptr<const Listener>& listener,
                        const FilterChain* chain) = 0;
  // Finish what is under way, take nothing new, then remove yourself.
  virtual void drain() = 0;
  // Valid until another session of the worker is asked.
  virtual const ConnectionInfo& info() const = 0;
  virtual const std::shared_ptr<const Listener>& listener() const { return info().listener; }

 private:
  friend class Worker;
  std::list<std::unique_ptr<Session>>::iterator place_;
};

}  // namespace mizzen::proxy
