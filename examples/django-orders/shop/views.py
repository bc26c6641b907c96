from django import forms
from django.shortcuts import get_object_or_404, redirect, render

from .models import Order

STATES = ["paid", "sent", "cancelled"]


class NewOrder(forms.ModelForm):
    class Meta:
        model = Order
        fields = ["article", "total"]


class Change(forms.Form):
    id = forms.IntegerField(min_value=1, initial=1, label="Order")
    state = forms.ChoiceField(choices=[(state, state) for state in STATES])

    def save(self):
        order = get_object_or_404(Order, pk=self.cleaned_data["id"])
        if self.cleaned_data["state"] == "cancelled":
            order.delete()
        else:
            order.state = self.cleaned_data["state"]
            order.save()


def edit(request):
    kind = NewOrder if "article" in request.POST else Change
    form = kind(request.POST or None)
    if form.is_valid():
        form.save()
        return redirect("/edit")
    faults = form.errors if request.POST else None
    return render(request, "edit.html", {"new": NewOrder(), "change": Change(), "faults": faults})
