/* SPDX-License-Identifier: Apache-2.0 */
/* Lists the devices, and says whether headers and library belong together. */
#include <flashl4/flashl4.h>
#include <stdio.h>

int main(void)
{
  printf("flashl4 %s\n", fl4_version_string());
  for (int i = 0; i < fl4_device_count(); i++) {
    fl4_device_info info = FL4_DEVICE_INFO_INIT;
    if (fl4_device_get_info(i, &info) == FL4_OK) printf("%d: %s (%s)\n", i, info.name, info.isa);
  }
  return fl4_version() == FL4_VERSION ? 0 : 1;
}
