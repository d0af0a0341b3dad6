"""Photographs of a few pixels, each shade another one."""

from io import BytesIO

from PIL import Image

from labelbeam.project.project_file import Project
from labelbeam.project.schema import Photograph


def picture(shade: int, kind: str = "PNG") -> bytes:
    file = BytesIO()
    Image.new("RGB", (6, 4), (shade, shade, 255 - shade)).save(file, kind)
    return file.getvalue()


def add(project: Project, shade: int, name: str = "a.png") -> Photograph:
    return project.add_photograph(picture(shade), name=name)
