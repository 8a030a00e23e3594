// Bodies of application/vnd.kubernetes.protobuf: k8s.io/apimachinery runtime.Unknown after a magic.
#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/message.h>
#include <google/protobuf/wire_format_lite.h>

#include <functional>
#include <memory>

#include "object/field_error.h"
#include "object/kind.h"
#include "object/walker.h"

namespace mizzen::object {
namespace {

using google::protobuf::Message;
using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;

constexpr std::string_view kMagic{"k8s\0", 4};

// Calls `take` for every length-delimited field; false when the bytes are no message.
bool read_fields(std::string_view bytes, const std::function<void(int, std::string)>& take) {
  CodedInputStream in(reinterpret_cast<const std::uint8_t*>(bytes.data()),
                      static_cast<int>(bytes.size()));
  while (std::uint32_t tag = in.ReadTag()) {
    if (WireFormatLite::GetTagWireType(tag) != WireFormatLite::WIRETYPE_LENGTH_DELIMITED) {
      if (!WireFormatLite::SkipField(&in, tag)) return false;
      continue;
    }
    std::uint32_t length = 0;
    std::string value;
    if (!in.ReadVarint32(&length) || length > bytes.size() ||
        !in.ReadString(&value, static_cast<int>(length))) {
      return false;
    }
    take(WireFormatLite::GetTagFieldNumber(tag), std::move(value));
  }
  return in.ConsumedEntireMessage();
}

void append_field(int number, std::string_view value, std::string* out) {
  auto varint = [out](std::uint64_t v) {
    for (; v >= 0x80; v >>= 7) out->push_back(static_cast<char>(v | 0x80));
    out->push_back(static_cast<char>(v));
  };
  varint(static_cast<std::uint64_t>(number) << 3 | 2);
  varint(value.size());
  out->append(value);
}

std::unique_ptr<Message> make(const google::protobuf::Descriptor& type) {
  const Message* known = google::protobuf::MessageFactory::generated_factory()->GetPrototype(&type);
  return std::unique_ptr<Message>(known ? known->New() : nullptr);
}

}  // namespace

bool is_kubernetes_protobuf(std::string_view body) { return body.starts_with(kMagic); }

Result<ProtobufEnvelope> open_kubernetes_protobuf(std::string_view body) {
  if (!is_kubernetes_protobuf(body)) {
    return fail(Code::kInvalid, "the body does not start with Kubernetes' protobuf magic");
  }
  ProtobufEnvelope envelope;
  std::string encoding;
  bool inner = true;
  bool good = read_fields(body.substr(kMagic.size()), [&](int number, std::string value) {
    if (number == 1) {
      inner = read_fields(value, [&](int part, std::string text) {
        if (part == 1) envelope.api_version = std::move(text);
        if (part == 2) envelope.kind = std::move(text);
      });
    }
    if (number == 2) envelope.raw = std::move(value);
    if (number == 3) encoding = std::move(value);
  });
  if (!good || !inner)
    return fail(Code::kInvalid, "the body is not a Kubernetes protobuf envelope");
  if (!encoding.empty()) {
    return fail(Code::kUnsupported, "content encoding \"" + encoding + "\" inside a protobuf body");
  }
  return envelope;
}

Result<Json> decode_kubernetes_protobuf(const ProtobufEnvelope& envelope,
                                        const google::protobuf::Descriptor& type) {
  auto message = make(type);
  if (!message) return fail(Code::kInternal, "no generated code for " + type.full_name());
  if (!message->ParseFromString(envelope.raw)) {
    return fail(Code::kInvalid, "the protobuf body does not decode as " + envelope.kind);
  }
  Json object = encode(*message);
  object["apiVersion"] = envelope.api_version;
  object["kind"] = envelope.kind;
  return object;
}

Result<std::string> encode_kubernetes_protobuf(const Json& object,
                                               const google::protobuf::Descriptor& type) {
  auto message = make(type);
  if (!message) return fail(Code::kInternal, "no generated code for " + type.full_name());
  for (const FieldError& error : decode(object, message.get())) {
    if (error.problem != FieldError::Problem::kUnknown &&
        error.problem != FieldError::Problem::kRequired) {
      return fail(Code::kInvalid, to_string(error));
    }
  }
  std::string meta;
  append_field(1, string_at(object, {"apiVersion"}), &meta);
  append_field(2, string_at(object, {"kind"}), &meta);
  std::string out(kMagic);
  append_field(1, meta, &out);
  append_field(2, message->SerializeAsString(), &out);
  return out;
}

}  // namespace mizzen::object
