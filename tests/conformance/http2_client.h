// As much of an HTTP/2 client (RFC 9113) as a case needs: it writes what a well-behaved library
// would refuse to.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "cases.h"

namespace mizzen::conformance {

// Preface, SETTINGS and the request of a case on stream 1, fields uncompressed and unchecked.
std::string http2_request(const Case& c);

// Reads a server's frames for stream 1.
class Http2Reader {
 public:
  Http2Reader();
  ~Http2Reader();
  // Returns what to send back (acknowledgements).
  std::string feed(std::string_view bytes);
  int status() const { return status_; }  // 0: none yet
  bool ended() const { return ended_; }   // the stream, in good order
  bool reset() const { return reset_; }   // RST_STREAM or GOAWAY with an error

 private:
  struct Inflater;
  void headers(std::string_view block);
  std::unique_ptr<Inflater> inflater_;
  std::string bytes_;
  int status_ = 0;
  bool ended_ = false;
  bool reset_ = false;
};

}  // namespace mizzen::conformance
