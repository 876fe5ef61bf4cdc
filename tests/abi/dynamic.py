# SPDX-License-Identifier: Apache-2.0
"""dynamic.py LIBRARY ABI_VERSION: the SONAME, what the loader must find, and that loading is quiet.

Loading the library, and asking it for its version, may open neither the CUDA driver nor NVRTC nor cuBLAS.
"""
import ctypes
import re
import subprocess
import sys

MAY_NEED = r"(libc|libm|libpthread|libdl|librt|libgomp|libomp|libgcc_s|libjansson|libz|ld-linux[\w-]*)\.so(\.\d+)*"
MUST_NOT_MAP = r"/lib(cuda|cudart|nvrtc|nvidia|cublas)[\w.-]*\.so"


def main(library, abi_version):
    problems = []
    dynamic = subprocess.run(["readelf", "-dW", library], check=True, capture_output=True, text=True).stdout
    soname = re.search(r"SONAME.*\[(.*)\]", dynamic)
    wanted = f"libflashl4.so.{abi_version}"
    if not soname or soname.group(1) != wanted:
        problems.append(f"SONAME is {soname and soname.group(1)}, must be {wanted}")
    needed = re.findall(r"NEEDED.*\[(.*)\]", dynamic)
    problems += [f"needs {name} at load" for name in needed if not re.fullmatch(MAY_NEED, name)]
    if "TEXTREL" in dynamic:
        problems.append("has text relocations")
    segments = subprocess.run(["readelf", "-lW", library], check=True, capture_output=True, text=True).stdout
    if re.search(r"GNU_STACK.*RWE", segments):
        problems.append("asks for an executable stack")

    loaded = ctypes.CDLL(library)
    loaded.fl4_version_string.restype = ctypes.c_char_p
    version = loaded.fl4_version_string().decode()
    with open("/proc/self/maps") as maps:
        problems += [f"loading it maps {path}" for path in sorted({line.split()[-1] for line in maps if re.search(MUST_NOT_MAP, line)})]
    print("\n".join(problems) or f"{wanted}, release {version}, needs {' '.join(needed)}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
