// Frames of HTTP/2 as bytes (RFC 9113 4.1 and 6): reading their parts, writing whole ones.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "http/output.h"

namespace mizzen::http::h2 {

enum class FrameType : std::uint8_t {
  kData = 0,
  kHeaders = 1,
  kPriority = 2,
  kReset = 3,
  kSettings = 4,
  kPushPromise = 5,
  kPing = 6,
  kGoaway = 7,
  kWindowUpdate = 8,
  kContinuation = 9,
};

constexpr std::uint8_t kAck = 0x1;
constexpr std::uint8_t kEndStream = 0x1;
constexpr std::uint8_t kEndHeaders = 0x4;
constexpr std::uint8_t kPadded = 0x8;
constexpr std::uint8_t kHasPriority = 0x20;

constexpr std::size_t kFrameHead = 9;
constexpr std::uint32_t kFrameSize = 16'384;  // of payloads, when nobody says otherwise
constexpr std::uint32_t kMostFrameSize = (1U << 24) - 1;
constexpr std::int64_t kWindow = 65'535;  // of streams and connections at first
constexpr std::int64_t kMostWindow = 0x7fffffff;
constexpr std::uint32_t kMostStreamId = 0x7fffffff;

// RFC 9113 7.
enum class ErrorCode : std::uint32_t {
  kNoError,
  kProtocol,
  kInternal,
  kFlowControl,
  kSettingsTimeout,
  kStreamClosed,
  kFrameSize,
  kRefusedStream,
  kCancel,
  kCompression,
  kConnect,
  kEnhanceYourCalm,
  kInadequateSecurity,
  kHttp11Required,
};
// "PROTOCOL_ERROR"; "unknown" for a code without a name. A literal.
std::string_view to_string(ErrorCode code);

// RFC 9113 6.5.2 and RFC 8441 3.
enum class Setting : std::uint16_t {
  kHeaderTableSize = 1,
  kEnablePush = 2,
  kConcurrentStreams = 3,
  kInitialWindow = 4,
  kMaxFrameSize = 5,
  kHeaderListSize = 6,
  kConnectProtocol = 8,
};
constexpr std::size_t kSettingSize = 6;

struct FrameHead {
  std::uint32_t size;  // of the payload
  std::uint8_t type;
  std::uint8_t flags;
  std::uint32_t stream;

  bool is(FrameType t) const { return type == static_cast<std::uint8_t>(t); }
  bool has(std::uint8_t flag) const { return (flags & flag) != 0; }
};

// Big endian, `from` holds as many bytes as the number has.
std::uint16_t read_u16(const char* from);
std::uint32_t read_u32(const char* from);
// `from` holds kFrameHead bytes. The reserved bit of the stream's number is dropped.
FrameHead read_frame_head(const char* from);
void write_frame_head(char* to, std::size_t size, FrameType type, std::uint8_t flags,
                      std::uint32_t stream);

// Takes padding (and its length) off the payload of a DATA or HEADERS frame; false when there is
// more padding than payload.
bool strip_padding(const FrameHead& head, std::string_view& payload);

// Whole frames at the end of `to`.
void put_frame(Output& to, FrameType type, std::uint8_t flags, std::uint32_t stream,
               std::string_view payload);
void put_reset(Output& to, std::uint32_t stream, ErrorCode code);
void put_window_update(Output& to, std::uint32_t stream, std::uint32_t more);
void put_goaway(Output& to, std::uint32_t last_stream, ErrorCode code);
// One of a SETTINGS frame's entries: writes kSettingSize bytes, returns the end.
char* write_setting(char* to, Setting name, std::uint32_t value);

}  // namespace mizzen::http::h2
