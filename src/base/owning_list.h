// A list of objects that carry its links themselves: entering and leaving cost no allocation.
#pragma once

#include <memory>

namespace mizzen {

template <class T>
class OwningList;

// Public base of a T that lives in an OwningList<T>, in one at a time.
template <class T>
class Linked {
 public:
  Linked(const Linked&) = delete;
  Linked& operator=(const Linked&) = delete;
  T* next() const { return next_; }  // null: the last

 protected:
  Linked() = default;
  ~Linked() = default;

 private:
  friend class OwningList<T>;
  T* next_ = nullptr;
  T* previous_ = nullptr;
};

// Owns its elements and destroys them with itself. Not safe across threads.
template <class T>
class OwningList {
 public:
  OwningList() = default;
  OwningList(const OwningList&) = delete;
  OwningList& operator=(const OwningList&) = delete;
  ~OwningList() {
    while (first_ != nullptr) take(*first_);
  }

  bool empty() const { return first_ == nullptr; }
  T* first() const { return first_; }  // null when empty

  // Puts it first.
  T& push(std::unique_ptr<T> element) {
    T* added = element.release();
    added->next_ = first_;
    if (first_ != nullptr) first_->previous_ = added;
    first_ = added;
    return *added;
  }
  // Takes one that is here out.
  std::unique_ptr<T> take(T& element) {
    (element.previous_ != nullptr ? element.previous_->next_ : first_) = element.next_;
    if (element.next_ != nullptr) element.next_->previous_ = element.previous_;
    element.next_ = element.previous_ = nullptr;
    return std::unique_ptr<T>(&element);
  }

 private:
  T* first_ = nullptr;
};

}  // namespace mizzen
